import type { DynoRecord } from "../model/dyno.ts";
import { isLive, ordinalOf } from "../model/dyno.ts";
import { type RolloutName, switchSecondsOf } from "../model/runtime.ts";
import type { Desired, DesiredDyno, DesiredRelease } from "./desired.ts";
import { type Action, attemptKey } from "./situation.ts";
import { hasFailedForLong, type Look, waitsForPort } from "./tend.ts";
import { backToStarting, hadBadChecksum, heroku, stop, wasAskedToEnd } from "./transitions.ts";

/** A process that waits for no port is up for good once it has run this long. */
export const PROVEN_MS = 10_000;

/**
 * Whether old dynos of a type are stopped when those of the pending release are started, as Heroku does it (spec 3.3); else they
 * stay until it is current. `surge`: never. `stop-start`: always. `preboot`: all but web (spec 3.7).
 */
export function stopsFirst(rollout: RolloutName, type: string): boolean {
  switch (rollout) {
    case "surge":
      return false;
    case "stop-start":
      return true;
    case "preboot":
      return type !== "web";
    default:
      return rollout satisfies never;
  }
}

/** Whether the current release starts no dynos of the type any more, because the pending one does. */
export function givesWay({ app, candidate }: Desired, type: string): boolean {
  return candidate !== null && stopsFirst(app.rollout, type);
}

/**
 * Brings a pending release up next to the current one, start first unless the app's strategy says otherwise:
 *
 * - Every dyno that the app wants is started of the candidate, under the same names.
 * - Once all are up (web: listening; others: running for 10 s) the candidate becomes current, in one transaction. Only then is
 *   the first old dyno stopped; requests have left it before its SIGTERM.
 * - If one of them ends, or does not come up in time, the release has failed, its dynos go, and what was current was
 *   never touched.
 * - `preboot`: web dynos that are up wait for the switch, two minutes after the boot timeout (or what the app says); until then requests go to the old.
 * - Where the host has no room for both, old dynos make room one by one; what they were comes back if the release fails.
 */
export function rollOut(desired: Desired, candidate: DesiredRelease, look: Look): readonly Action[] {
  const own = look.records.filter((each) => each.kind === "formation" && each.releaseId === candidate.id);
  const failure = failureOf(own, desired, look);
  if (failure !== undefined) return fail(desired, candidate, own, failure, look);
  const wanted = new Map(candidate.dynos.map((dyno) => [dyno.name, dyno]));
  const alive = new Map(own.filter(isLive).map((record) => [record.name, record]));
  const surplus = own.filter(isLive).flatMap((record) => {
    const dyno = wanted.get(record.name);
    if (dyno === undefined) return [stop(record, "scale", look.now)];
    return dyno.size === record.size && alive.get(record.name) === record ? [] : [stop(record, "restart", look.now)];
  });
  const isEnding = (name: string) =>
    own.some((each) => each.name === name && each.exit === null && !wasAskedToEnd(each));
  const missing = candidate.dynos.filter(({ name }) => !alive.has(name) && !isEnding(name));
  const isProven = candidate.dynos.every(({ name }) => {
    const record = alive.get(name);
    return record !== undefined && hasProven(record, look) && isSeenRunning(record, look);
  });
  const old = givenWay(desired, look);
  if (isProven && surplus.length === 0 && old.length === 0 && !waitsForSwitch(desired, candidate, look)) {
    const after = desired.current?.id ?? null;
    return [{ kind: "promote", releaseId: candidate.id, after, types: candidate.types }];
  }
  const created = missing.map((dyno) => create(dyno, candidate, look));
  return [...surplus, ...created, ...old, ...makeRoom(desired, alive, look)];
}

/** Old dynos that are stopped because their successors start now. */
function givenWay({ app, current }: Desired, look: Look): readonly Action[] {
  const names = new Set(current?.dynos.filter(({ type }) => stopsFirst(app.rollout, type)).map(({ name }) => name));
  return oldOnes(look)
    .filter(({ name }) => names.has(name))
    .map((record) => stop(record, "replaced", look.now));
}

/** Where nothing old served when the release came there is nothing to switch from; the app may have been woken by it. */
function waitsForSwitch({ app }: Desired, { since }: DesiredRelease, look: Look): boolean {
  const served = oldOnes(look).some(({ type, createdAt }) => type === "web" && createdAt < since);
  if (app.rollout !== "preboot" || !served) return false;
  return !look.deadlines.passed(since, switchSecondsOf(app) * 1000);
}

/** Whether it has come up: web dynos listen, others have run for 10 s. */
export function hasProven(record: DynoRecord, look: Look): boolean {
  return (
    record.state === "up" &&
    record.ready !== false &&
    (waitsForPort(record) || look.deadlines.passed(record.stateSince, PROVEN_MS))
  );
}

/** Its end may have been seen just now, and is not on record yet. */
export function isSeenRunning({ id }: DynoRecord, { observed }: Look): boolean {
  return observed.some((each) => each.id === id && each.state.kind === "running");
}

/** Why the release has failed, in a sentence; undefined while it has not. */
function failureOf(own: readonly DynoRecord[], { app }: Desired, look: Look): string | undefined {
  for (const record of own) {
    if (record.exit !== null && record.exit.status !== null && !wasAskedToEnd(record)) {
      if (record.stopping?.detail !== undefined) return `${record.name}: ${record.stopping.detail}`;
      return record.stopping?.reason === "boot-timeout"
        ? `${record.name} did not bind to $PORT within ${app.bootTimeoutSeconds} seconds (R10)`
        : `${record.name} exited with status ${record.exit.status} before it came up`;
    }
    if (hadBadChecksum(record)) {
      return `${record.name} was not launched: what is kept of the slug is not what was built (R17)`;
    }
    if (isLive(record) && hasFailedForLong(record, look) && !mayStillFindRoom(record, look)) {
      const why = look.attempts.get(attemptKey("launch", record.id))?.message ?? "no reason given";
      return `${record.name} could not be started: ${why}`;
    }
  }
  return undefined;
}

/** Its dynos, if there are any, go; what was current was never touched. */
export function fail(
  { app, current }: Desired,
  candidate: DesiredRelease,
  own: readonly DynoRecord[],
  failure: string,
  look: Look,
): readonly Action[] {
  const gaveWay = ({ releaseId, stopping }: DynoRecord) =>
    releaseId === current?.id && (stopping?.reason === "replaced" || stopping?.reason === "no-room");
  const isStopped = (app.rollout === "stop-start" && candidate.command === null) || look.records.some(gaveWay);
  const stays = isStopped ? "is started again" : "stays";
  const remains = current === null ? "Nothing of it runs." : `v${current.version} ${stays}.`;
  const text = `Release v${candidate.version} failed: ${failure}. ${remains}`;
  return [
    { kind: "fail", releaseId: candidate.id, failure, lines: [{ source: "app", process: "api", text }] },
    ...own.filter(isLive).map((record) => stop(record, "failed-release", look.now)),
  ];
}

function create(dyno: DesiredDyno, candidate: DesiredRelease, look: Look): Action {
  const replaced = look.records.find(
    (each) => each.name === dyno.name && each.releaseId !== candidate.id && each.stopping === null,
  );
  const texts = replaced === undefined ? [] : ["Restarting", ...backToStarting(replaced)];
  const lines = texts.map((text) => heroku(dyno.name, text));
  return { kind: "create", dyno, releaseId: candidate.id, inPlaceOf: null, lines };
}

/** Old dynos that could make room for the candidate's. */
function oldOnes({ desired, records }: Look): readonly DynoRecord[] {
  const currentId = desired?.current?.id;
  return records.filter((each) => each.kind === "formation" && each.releaseId === currentId && isLive(each));
}

/** Old dynos may yet go, or are going, however long their grace is; or room was made and is about to be tried for. */
function mayStillFindRoom(record: DynoRecord, look: Look): boolean {
  const attempt = look.attempts.get(attemptKey("launch", record.id));
  if (attempt?.error !== "no_capacity") return false;
  const holdsRoom = ({ id, exit }: DynoRecord) => exit === null || look.observed.some((each) => each.id === id);
  const isLeaving = look.records.some((each) => each.stopping !== null && holdsRoom(each));
  return isLeaving || attempt.nextAt <= look.now || oldOnes(look).length > 0;
}

/**
 * Where candidates find no room: stops one old dyno, if nothing else is about to change. One whose successor is up goes
 * first; else the one whose successor waits. Its record stays, as a sign that its name is given to the candidate.
 */
function makeRoom(desired: Desired, alive: ReadonlyMap<string, DynoRecord>, look: Look): readonly Action[] {
  const waiting = [...alive.values()].filter((record) => isWithoutRoom(record, look));
  const [first] = waiting;
  if (first === undefined || desired.current === null) return [];
  const isLeaving = look.records.some((each) => each.stopping !== null && each.exit === null);
  const isBooting = [...alive.values()].some((record) => !waiting.includes(record) && !hasProven(record, look));
  if (isLeaving || isBooting) return [];
  const old = [...oldOnes(look)].sort((a, b) => ordinalOf(b.name) - ordinalOf(a.name));
  const isReplaced = (record: DynoRecord) => alive.get(record.name)?.state === "up";
  const goes = old.find(isReplaced) ?? old.find((each) => each.name === first.name) ?? old[0];
  if (goes === undefined) return [];
  const said = heroku(goes.name, "No room to start the new release beside this dyno: stopping it first");
  const action = stop(goes, "no-room", look.now);
  return [{ ...action, lines: [said, ...action.lines] }];
}

function isWithoutRoom(record: DynoRecord, look: Look): boolean {
  if (record.state !== "starting" || look.observed.some((each) => each.id === record.id)) return false;
  const attempt = look.attempts.get(attemptKey("launch", record.id));
  return attempt !== undefined && attempt.doneAt === null && attempt.error === "no_capacity";
}
