import type { Instant } from "../lib/clock.ts";
import { type DynoRecord, isLive } from "../model/dyno.ts";
import type { Runtime } from "../model/runtime.ts";
import type { Desired, DesiredRelease } from "./desired.ts";
import { hasProven, isSeenRunning } from "./rollout.ts";
import type { Action } from "./situation.ts";
import type { Look } from "./tend.ts";
import { stop } from "./transitions.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** spec 3.5. */
const JITTER_MS = 216 * MINUTE;
/** With a chosen hour: a dyno younger than this when it comes waits for the next day's, since a start resets the timer. */
const AGE_MIN_MS = 12 * HOUR;

/**
 * Daily cycling (spec 3.5), of one dyno of a type at a time: the next one goes only when every dyno that is wanted of the type
 * is up. While a release comes up, or one of them is down, nothing is cycled. `changing`: ids of dynos that are being restarted,
 * or otherwise changed, by this same plan.
 */
export function cycle(
  { app, candidate }: Desired,
  release: DesiredRelease,
  look: Look,
  changing: ReadonlySet<string>,
): readonly Action[] {
  if (!app.dailyCycling || candidate !== null) return [];
  const alive = new Map(
    look.records
      .filter((each) => each.kind === "formation" && each.releaseId === release.id && isLive(each))
      .map((each) => [each.name, each]),
  );
  const types = Map.groupBy(release.dynos, ({ type }) => type);
  return [...types.values()].flatMap((wanted) => {
    const standing = wanted.flatMap(({ name }) => alive.get(name) ?? []);
    const due = standing.filter((record) => look.deadlines.reached(cycleAt(record, app, look.now)));
    const [oldest] = due.toSorted((one, other) => startOf(one) - startOf(other));
    if (oldest === undefined || standing.length < wanted.length) return [];
    const sizes = new Map(wanted.map(({ name, size }) => [name, size]));
    const isWell = (record: DynoRecord) =>
      record.size === sizes.get(record.name) &&
      !changing.has(record.id) &&
      isSeenRunning(record, look) &&
      hasProven(record, look);
    return standing.every(isWell) ? [stop(oldest, "cycling", look.now)] : [];
  });
}

/**
 * When a dyno is due: a day after its start and up to 216 minutes, or at a time of its own within the chosen hour (UTC). Where that hour has
 * gone by without it, in the next day's.
 */
export function cycleAt(
  record: Pick<DynoRecord, "id" | "createdAt" | "launchedAt">,
  app: Pick<Runtime, "cyclingHour">,
  now: Instant,
): Instant {
  const start = startOf(record);
  if (app.cyclingHour === null) return start + DAY + shareOf(record.id) * JITTER_MS;
  const earliest = Math.max(start + AGE_MIN_MS, now - HOUR + 1); // an hour that began before it is over
  const hour = Math.floor(earliest / DAY) * DAY + app.cyclingHour * HOUR;
  return (hour < earliest ? hour + DAY : hour) + shareOf(record.id) * HOUR;
}

function startOf({ createdAt, launchedAt }: Pick<DynoRecord, "createdAt" | "launchedAt">): Instant {
  return launchedAt ?? createdAt;
}

/** From 0 to below 1, evenly spread, always the same for an id (FNV-1a, then mixed): so the time is not lost with the daemon. */
function shareOf(id: string): number {
  let hash = 0x811c9dc5;
  for (const char of id) hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
