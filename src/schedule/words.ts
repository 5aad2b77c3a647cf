import type { Instant } from "../lib/clock.ts";
import type { Decision, SkipReason } from "./plan.ts";
import { MISSED_MAX } from "./plan.ts";

/** Lines of the app's log come from `heroku[scheduler]`, and of a dyno from `heroku[scheduler.1234]`. */
export const PROCESS = "scheduler";

/** What the app's log says of a decision; undefined: nothing but the dyno's own lines. */
export function lineOf(decision: Decision, now: Instant): string | undefined {
  const { name } = decision.schedule;
  switch (decision.kind) {
    case "start": {
      const lateMs = now - decision.dueAt;
      return lateMs < 60_000 ? undefined : `Late by ${minutes(lateMs)}: ${name} was due at ${utc(decision.dueAt)}`;
    }
    case "skip":
      return `Skipped: ${name} was due at ${utc(decision.dueAt)}, and ${skipReason(decision.reason)}`;
    case "miss":
      return `Missed: ${missReason(decision, name)}. To run it now: stator schedules:run ${name}`;
    case "begin-anew":
      return `The clock was set back by more than an hour: ${name} goes by the new time`;
    default:
      return decision satisfies never;
  }
}

/** Goes on from "it was due, and". */
export function skipReason(reason: SkipReason): string {
  return reason.kind === "running"
    ? `${reason.dyno.name}, started at ${utc(reason.dyno.since)}, still runs`
    : `${reason.count} scheduled dynos of the app run already`;
}

export function missReason(
  { count, firstAt, lastAt }: { readonly count: number; readonly firstAt: Instant; readonly lastAt: Instant },
  name: string,
): string {
  const nobody = "the platform was down, or its clock was wrong";
  if (count === 1) return `${name} was due at ${utc(firstAt)}, and ${nobody}`;
  const times = count >= MISSED_MAX ? `${MISSED_MAX} times and more` : `${count} times`;
  return `${name} was due ${times} from ${utc(firstAt)} to ${utc(lastAt)}, and ${nobody}`;
}

/** `2026-11-27T03:00:00Z` */
export function utc(at: Instant): string {
  return `${new Date(at).toISOString().slice(0, 19)}Z`;
}

function minutes(ms: number): string {
  const count = Math.floor(ms / 60_000);
  return count === 1 ? "1 minute" : `${count} minutes`;
}
