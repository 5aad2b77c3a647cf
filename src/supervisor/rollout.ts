import type { DynoRecord } from "../model/dyno.ts";
import { isLive, ordinalOf } from "../model/dyno.ts";
import type { Desired, DesiredDyno, DesiredRelease } from "./desired.ts";
import { type Action, attemptKey } from "./situation.ts";
import { hasFailedForLong, type Look, waitsForPort } from "./tend.ts";
import { heroku, stop, wasAskedToEnd } from "./transitions.ts";

/** A process that waits for no port is up for good once it has run this long. */
export const PROVEN_MS = 10_000;

/**
 * Brings a pending release up next to the current one, start first:
 *
 * - Every dyno that the app wants is started of the candidate, under the same names.
 * - Once all are up (web: listening; others: running for 10 s) the candidate becomes current, in one transaction. Only then is
 *   the first old dyno stopped; requests have left it before its SIGTERM.
 * - If one of them ends, or does not come up in time, the release has failed, its dynos go, and what was current was
 *   never touched.
 * - Where the host has no room for both, old dynos make room one by one; what they were comes back if the release fails.
 */
export function rollOut(desired: Desired, candidate: DesiredRelease, look: Look): readonly Action[] {
  const own = look.records.filter((each) => each.kind === "formation" && each.releaseId === candidate.id);
  const failure = failureOf(own, look);
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
    return record !== undefined && hasProven(record, look);
  });
  if (isProven && surplus.length === 0) {
    const after = desired.current?.id ?? null;
    return [{ kind: "promote", releaseId: candidate.id, after, types: candidate.types }];
  }
  return [...surplus, ...missing.map((dyno) => create(dyno, candidate, look)), ...makeRoom(desired, alive, look)];
}

function hasProven(record: DynoRecord, look: Look): boolean {
  return (
    record.state === "up" &&
    record.ready !== false &&
    (waitsForPort(record) || look.deadlines.passed(record.stateSince, PROVEN_MS))
  );
}

/** Why the release has failed, in a sentence; undefined while it has not. */
function failureOf(own: readonly DynoRecord[], look: Look): string | undefined {
  for (const record of own) {
    if (record.exit !== null && record.exit.status !== null && !wasAskedToEnd(record)) {
      if (record.stopping?.detail !== undefined) return `${record.name}: ${record.stopping.detail}`;
      return record.stopping?.reason === "boot-timeout"
        ? `${record.name} did not bind to $PORT within 60 seconds (R10)`
        : `${record.name} exited with status ${record.exit.status} before it came up`;
    }
    if (isLive(record) && hasFailedForLong(record, look) && !mayStillFindRoom(record, look)) {
      const why = look.attempts.get(attemptKey("launch", record.id))?.message ?? "no reason given";
      return `${record.name} could not be started: ${why}`;
    }
  }
  return undefined;
}

function fail(
  { current }: Desired,
  candidate: DesiredRelease,
  own: readonly DynoRecord[],
  failure: string,
  look: Look,
): readonly Action[] {
  const remains = current === null ? "Nothing of it runs." : `v${current.version} stays.`;
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
  const texts = replaced === undefined ? [] : ["Restarting", `State changed from ${replaced.state} to starting`];
  const lines = texts.map((text) => heroku(dyno.name, text));
  return { kind: "create", dyno, releaseId: candidate.id, inPlaceOf: null, lines };
}

/** Old dynos that could make room for the candidate's. */
function oldOnes({ desired, records }: Look): readonly DynoRecord[] {
  const currentId = desired?.current?.id;
  return records.filter((each) => each.kind === "formation" && each.releaseId === currentId && isLive(each));
}

function mayStillFindRoom(record: DynoRecord, look: Look): boolean {
  return look.attempts.get(attemptKey("launch", record.id))?.error === "no_capacity" && oldOnes(look).length > 0;
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
  const action = stop(goes, "replaced", look.now);
  return [{ ...action, lines: [said, ...action.lines] }];
}

function isWithoutRoom(record: DynoRecord, look: Look): boolean {
  if (record.state !== "starting" || look.observed.some((each) => each.id === record.id)) return false;
  const attempt = look.attempts.get(attemptKey("launch", record.id));
  return attempt !== undefined && attempt.doneAt === null && attempt.error === "no_capacity";
}
