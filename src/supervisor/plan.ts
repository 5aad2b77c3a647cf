import type { DynoRecord } from "../model/dyno.ts";
import { isLive } from "../model/dyno.ts";
import { cycle } from "./cycling.ts";
import type { Desired, DesiredDyno, DesiredRelease } from "./desired.ts";
import { hasCommand, runCommand, strayCommands } from "./release-command.ts";
import { nextStartAt, RESTART_POLICIES } from "./restart-policy.ts";
import { givesWay, rollOut } from "./rollout.ts";
import { type Action, Deadlines, type Plan, type Situation } from "./situation.ts";
import { forget, type Look, tend } from "./tend.ts";
import { heroku, stop, wasAskedToEnd } from "./transitions.ts";

/** One-off dynos that have ended stay readable, the newest this many of an app. */
export const COMPLETE_MAX = 100;

/**
 * What to do now so that what runs becomes what should run. Reads no clock and touches nothing but `ahead`; made again from the same
 * situation it is the same, and made again after its actions have taken effect it asks for none of them twice.
 */
export function plan(situation: Situation): Plan {
  const deadlines = new Deadlines(situation.now, situation.ahead);
  const look: Look = { ...situation, deadlines };
  const { desired, records } = situation;
  const actions = [
    ...(desired === null ? withoutApp(look) : keep(desired, look)),
    ...orphans(look),
    ...(desired === null ? [] : tidy(look)),
  ];
  const isMoving = (record: DynoRecord) =>
    record.state === "starting" || (record.stopping !== null && record.exit === null);
  const isRollingOut = desired !== null && desired.candidate !== null && !hasCommand(desired.candidate);
  const unsettled = isRollingOut || records.some(isMoving);
  return { actions, lookAgainAt: deadlines.next, unsettled };
}

/** While the candidate's command has not been done, all else is as if there were no candidate. */
function keep(all: Desired, look: Look): readonly Action[] {
  const desired = hasCommand(all.candidate) ? { ...all, candidate: null } : all;
  const { current, candidate } = desired;
  const tended = look.records.flatMap((record) => tend(record, observedOf(record, look), look));
  const changing = new Set(tended.flatMap((action) => (action.kind === "change" ? [action.record.id] : [])));
  return [
    ...all.overtaken.map((release): Action => ({ kind: "expire", releaseId: release.id })),
    ...tended,
    ...(current === null ? [] : keepFormation(desired, current, look)),
    ...(current === null ? [] : cycle(desired, current, look, changing)),
    ...(candidate === null ? [] : rollOut(desired, candidate, look)),
    ...(hasCommand(all.candidate) ? runCommand(all, all.candidate, look) : []),
    ...strayCommands(all, look),
    ...leftovers(desired, look),
  ];
}

/** The current release's dynos: one for each name, of the right size; crashed ones again when it is time (spec 3.4). */
function keepFormation(desired: Desired, release: DesiredRelease, look: Look): readonly Action[] {
  const own = look.records.filter((each) => each.kind === "formation" && each.releaseId === release.id);
  const wanted = new Set(release.dynos.map(({ name }) => name));
  return [
    ...release.dynos.flatMap((dyno) => keepDyno(desired, release.id, dyno, own, look)),
    ...own.filter(({ name }) => !wanted.has(name)).flatMap((record) => scaledAway(record, desired, look)),
    ...look.crashes
      .filter(({ name }) => !wanted.has(name))
      .map(({ name }): Action => ({ kind: "clear-crashes", name })),
  ];
}

function keepDyno(
  desired: Desired,
  releaseId: string,
  dyno: DesiredDyno,
  own: readonly DynoRecord[],
  look: Look,
): readonly Action[] {
  if (givesWay(desired, dyno.type)) return [];
  const named = own.filter(({ name }) => name === dyno.name);
  const [alive, ...surplus] = named.filter(isLive);
  if (alive !== undefined) {
    const resized = alive.size === dyno.size ? [] : [stop(alive, "restart", look.now)]; // spec 2.3
    return [...resized, ...surplus.map((record) => stop(record, "replaced", look.now))];
  }
  if (named.some(isCrashing) || named.some((record) => hasMadeRoom(record, desired))) return [];
  const crashed = named.find(isCrashed);
  if (crashed !== undefined && !look.deadlines.reached(startAgainAt(desired, dyno.name, look))) return [];
  const wasStopped = named.some((record) => record.stopping?.reason === "stop");
  const from = crashed !== undefined ? "crashed" : wasStopped ? "down" : undefined;
  const lines = from === undefined ? [] : [heroku(dyno.name, `State changed from ${from} to starting`)];
  return [{ kind: "create", dyno, releaseId, inPlaceOf: crashed ?? null, lines }];
}

/** It is being ended as a crash (R10, its checks), but its end is not seen yet: its place is taken only then. */
function isCrashing(record: DynoRecord): boolean {
  return record.stopping !== null && !wasAskedToEnd(record) && record.exit === null;
}

function isCrashed(record: DynoRecord): boolean {
  return record.state === "crashed" && record.exit !== null;
}

/** An old dyno that made room for a pending release: its name is not filled again while that comes up. */
function hasMadeRoom(record: DynoRecord, { candidate }: Desired): boolean {
  const reason = record.stopping?.reason;
  return candidate !== null && (reason === "replaced" || reason === "no-room");
}

export function startAgainAt(
  desired: Desired,
  name: string,
  { crashes, now }: Pick<Situation, "crashes" | "now">,
): number {
  const crash = crashes.find((each) => each.name === name);
  return nextStartAt(RESTART_POLICIES[desired.app.restartPolicy], crash, now);
}

/** Its name is beyond the quantity, its type has gone, or its app sleeps: the highest numbers go first (spec 1.2, 5.1). */
function scaledAway(record: DynoRecord, { isAsleep }: Desired, look: Look): readonly Action[] {
  if (isLive(record)) return [stop(record, isAsleep ? "idle" : "scale", look.now)];
  if (!isCrashed(record)) return [];
  return [{ kind: "drop", record, lines: [heroku(record.name, "State changed from crashed to down")] }];
}

/** What remains of other releases, and records whose dyno has ended and is forgotten. */
function leftovers(desired: Desired, look: Look): readonly Action[] {
  const kept = new Set([desired.current?.id, desired.candidate?.id]);
  const names = [desired.current, desired.candidate].flatMap((release) => release?.dynos.map(({ name }) => name) ?? []);
  const reasonFor = ({ name }: DynoRecord) => (names.includes(name) ? "replaced" : "scale"); // its type has vanished
  return look.records
    .filter((record) => record.kind === "formation")
    .flatMap((record): readonly Action[] => {
      const isOld = !kept.has(record.releaseId);
      if (isOld && isLive(record)) return [stop(record, reasonFor(record), look.now)];
      if (record.exit === null || observedOf(record, look) !== undefined) return [];
      const isNeeded = !isOld && (isCrashed(record) || (isOfCurrent(record, desired) && hasMadeRoom(record, desired)));
      return isNeeded ? [] : [{ kind: "drop", record, lines: [] }];
    });
}

function isOfCurrent(record: DynoRecord, { current }: Desired): boolean {
  return record.releaseId === current?.id;
}

/** The app is gone: so are its records. What the engine has of it is an orphan. */
function withoutApp(look: Look): readonly Action[] {
  return look.records.map((record) => ({ kind: "drop", record, lines: [] }));
}

/** Dynos that no record knows: killed and forgotten. */
function orphans(look: Look): readonly Action[] {
  const known = new Set(look.desired === null ? [] : look.records.map(({ id }) => id));
  return look.observed.filter(({ id }) => !known.has(id)).flatMap(({ id }) => forget(id, null, look));
}

function tidy({ records }: Look): readonly Action[] {
  const complete = records
    .filter((record) => record.kind !== "formation" && record.exit !== null)
    .sort((a, b) => (b.exit?.at ?? 0) - (a.exit?.at ?? 0));
  return complete.slice(COMPLETE_MAX).map((record) => ({ kind: "drop", record, lines: [] }));
}

function observedOf(record: DynoRecord, { observed }: Situation) {
  return observed.find((each) => each.id === record.id);
}
