import type { Instant } from "../lib/clock.ts";
import { lastRunAt, nextRunAt, type Schedule } from "../model/schedule.ts";

/**
 * A run that nobody started when it was due is started late, once, if it is late by no more than this: a restart of the platform does
 * not cost the nightly run, and a machine that was off for days does not do its night's work at noon.
 */
export const LATE_MS_MAX = 60 * 60_000;
/** A clock that was set back by more was wrong before: schedules begin anew with the new time. */
export const BACK_MS_MAX = 60 * 60_000;
/** Scheduled dynos of an app at a time. */
export const SCHEDULER_DYNOS_MAX = 50;
/** Counted so far; more are more. */
export const MISSED_MAX = 1000;

/** One app's schedules that are on, and what of their runs still lives. The app has code to run. */
export interface Situation {
  readonly schedules: readonly Schedule[];
  readonly running: readonly RunningDyno[];
  /** Scheduled dynos that live, those of schedules that are gone too. */
  readonly alive: number;
  readonly now: Instant;
}

export interface RunningDyno {
  readonly scheduleId: string;
  readonly dynoId: string;
  readonly name: string;
  readonly since: Instant;
}

/** What becomes of times that schedules named. Each says until when its schedule is decided then. */
export type Decision = { readonly schedule: Schedule; readonly decidedUntil: Instant } & (
  | {
      readonly kind: "start";
      readonly dueAt: Instant;
      /** Dynos whose place it takes. */
      readonly replaces: readonly RunningDyno[];
    }
  | { readonly kind: "skip"; readonly dueAt: Instant; readonly reason: SkipReason }
  | { readonly kind: "miss"; readonly count: number; readonly firstAt: Instant; readonly lastAt: Instant }
  /** The clock was set back. */
  | { readonly kind: "begin-anew" }
);

export type SkipReason =
  | { readonly kind: "running"; readonly dyno: RunningDyno }
  | { readonly kind: "too-many"; readonly count: number };

/** What to do now. Reads no clock and touches nothing; once its decisions are noted it asks for none of them again. */
export function plan({ schedules, running, alive, now }: Situation): readonly Decision[] {
  const decisions: Decision[] = [];
  let dynos = alive;
  for (const schedule of schedules) {
    const own = running.filter(({ scheduleId }) => scheduleId === schedule.id);
    for (const decision of decide(schedule, own, dynos, now)) {
      decisions.push(decision);
      if (decision.kind === "start") dynos += 1 - decision.replaces.length;
    }
  }
  return decisions;
}

function decide(schedule: Schedule, own: readonly RunningDyno[], dynos: number, now: Instant): readonly Decision[] {
  if (wasSetBack(schedule, now)) return [{ kind: "begin-anew", schedule, decidedUntil: now }];
  const firstAt = nextRunAt(schedule, schedule.decidedUntil);
  if (firstAt === null || firstAt > now) return [];
  const lastAt = lastRunAt(schedule, now) ?? firstAt;
  const isLate = now - lastAt > LATE_MS_MAX;
  const missed = missedTimes(schedule, firstAt, isLate ? lastAt + 1 : lastAt);
  // The earlier decision is noted first, so that a plan that was noted by half is still true.
  return isLate ? missed : [...missed, ofDue(schedule, lastAt, own, dynos)];
}

function missedTimes(schedule: Schedule, firstAt: Instant, before: Instant): readonly Decision[] {
  let count = 0;
  let lastAt = firstAt;
  for (
    let at: Instant | null = firstAt;
    at !== null && at < before && count < MISSED_MAX;
    at = nextRunAt(schedule, at)
  ) {
    lastAt = at;
    count++;
  }
  if (count === 0) return [];
  if (count === MISSED_MAX) lastAt = lastRunAt(schedule, before - 1) ?? lastAt;
  return [{ kind: "miss", schedule, count, firstAt, lastAt, decidedUntil: lastAt }];
}

function ofDue(schedule: Schedule, dueAt: Instant, own: readonly RunningDyno[], dynos: number): Decision {
  const common = { schedule, dueAt, decidedUntil: dueAt };
  const [other] = own;
  if (other !== undefined && schedule.concurrency === "forbid")
    return { ...common, kind: "skip", reason: { kind: "running", dyno: other } };
  const replaces = schedule.concurrency === "replace" ? own : [];
  if (dynos - replaces.length >= SCHEDULER_DYNOS_MAX)
    return { ...common, kind: "skip", reason: { kind: "too-many", count: dynos } };
  return { ...common, kind: "start", replaces };
}

/** Whether more was decided than has been: the clock that it went by was wrong. */
export function wasSetBack(schedule: Schedule, now: Instant): boolean {
  return schedule.decidedUntil > now + BACK_MS_MAX;
}
