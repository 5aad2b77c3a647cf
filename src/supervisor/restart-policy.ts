import type { Instant } from "../lib/clock.ts";
import type { RestartPolicyName } from "../model/runtime.ts";
import type { CrashRecord } from "../store/store.ts";

/** How long a crashed formation dyno waits before its next start. */
export interface RestartPolicy {
  /** Wait after the first crash in a row, the second, ...; the last one holds for all that follow. */
  readonly waitsMs: readonly number[];
  /** A dyno that ran this long before it crashed has started well: its crash is the first of a new row. */
  readonly stableMs: number;
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const CLOCK_SLACK_MS = 5000;

export const RESTART_POLICIES: Readonly<Record<RestartPolicyName, RestartPolicy>> = {
  /** Ours: tries again within minutes, for ever. */
  steady: {
    waitsMs: [0, 5, 10, 20, 40, 80, 160, 300].map((seconds) => seconds * SECOND),
    stableMs: 10 * MINUTE,
  },
  /** spec 3.4. "Starts correctly" is taken as one minute of life: a web dyno that binds and dies would never wait otherwise. */
  heroku: {
    waitsMs: [0, 20, 40, 60, 180, 320].map((minutes) => minutes * MINUTE),
    stableMs: MINUTE,
  },
};

/** When a dyno that crashed may be started again; at once if the clock was set back to before its crash. */
export function nextStartAt(policy: RestartPolicy, crash: CrashRecord | undefined, now: Instant): Instant {
  if (crash === undefined || crash.count < 1) return now;
  const wait = policy.waitsMs[Math.min(crash.count, policy.waitsMs.length) - 1] ?? 0;
  return crash.lastAt > now + CLOCK_SLACK_MS ? now : crash.lastAt + wait;
}

/** The row of crashes of a dyno whose next start would go no better: the longest wait comes next. */
export function withHopelessCrash(policy: RestartPolicy, name: string, at: Instant): CrashRecord {
  return { name, count: policy.waitsMs.length, lastAt: at };
}

/** The row of crashes after one more, of a dyno that had run for `ranMs`. */
export function withCrash(
  policy: RestartPolicy,
  before: CrashRecord | undefined,
  crash: { readonly name: string; readonly ranMs: number; readonly at: Instant },
): CrashRecord {
  const count = before === undefined || crash.ranMs >= policy.stableMs ? 1 : before.count + 1;
  return { name: crash.name, count, lastAt: crash.at };
}
