import { PlatformError } from "./errors.ts";

/** How the dynos of an app live: settings of ours, in the app's row (`/apps/:app/runtime`). */
export interface Runtime {
  readonly restartPolicy: RestartPolicyName;
  readonly rollout: RolloutName;
  /** With `preboot`: from the end of the boot timeout to the switch (spec 3.7). */
  readonly prebootDelaySeconds: number;
  /** How long a web dyno has to bind `$PORT` before R10 (spec 3.2). */
  readonly bootTimeoutSeconds: number;
  /** From SIGTERM to R12 and SIGKILL (spec 3.3). */
  readonly stopGraceSeconds: number;
  /** How long a release command may run before SIGTERM (spec 5.3). */
  readonly releaseTimeoutSeconds: number;
  /** Whether dynos are restarted once a day (spec 3.5). */
  readonly dailyCycling: boolean;
  /** The hour of the day, in UTC, in which they are; null: a day after each was started. */
  readonly cyclingHour: number | null;
  /** After how long without requests the app's dynos are stopped until the next one (`model/sleep.ts`); 0: never; null: as its size says. */
  readonly sleepAfterMinutes: number | null;
}

/** See `supervisor/restart-policy.ts`. */
export type RestartPolicyName = "steady" | "heroku";

/** See `supervisor/rollout.ts`. */
export type RolloutName = "surge" | "stop-start" | "preboot";

export const DEFAULT_RUNTIME: Runtime = {
  restartPolicy: "steady",
  rollout: "surge",
  prebootDelaySeconds: 120,
  bootTimeoutSeconds: 60,
  stopGraceSeconds: 30,
  releaseTimeoutSeconds: 3600,
  dailyCycling: false,
  cyclingHour: null,
  sleepAfterMinutes: null,
};

/** With `preboot`: from the release to the switch (spec 3.7). */
export function switchSecondsOf(app: Pick<Runtime, "bootTimeoutSeconds" | "prebootDelaySeconds">): number {
  return app.bootTimeoutSeconds + app.prebootDelaySeconds;
}

export const BOOT_TIMEOUT_SECONDS_MAX = 1800;
export const PREBOOT_DELAY_SECONDS_MAX = 1800;
export const STOP_GRACE_SECONDS_MAX = 600;
export const RELEASE_TIMEOUT_SECONDS_MAX = 86_400;
/** A week. */
export const SLEEP_AFTER_MINUTES_MAX = 10_080;

/** Throws `invalid_params` with a sentence for a value out of range. */
export function checkRuntime(change: Partial<Runtime>): void {
  const { bootTimeoutSeconds, prebootDelaySeconds, stopGraceSeconds, releaseTimeoutSeconds, cyclingHour } = change;
  const { sleepAfterMinutes } = change;
  refuseUnlessWithin("boot timeout", bootTimeoutSeconds, 1, BOOT_TIMEOUT_SECONDS_MAX, "seconds");
  refuseUnlessWithin("preboot delay", prebootDelaySeconds, 0, PREBOOT_DELAY_SECONDS_MAX, "seconds");
  refuseUnlessWithin("stop grace", stopGraceSeconds, 1, STOP_GRACE_SECONDS_MAX, "seconds");
  refuseUnlessWithin("release timeout", releaseTimeoutSeconds, 1, RELEASE_TIMEOUT_SECONDS_MAX, "seconds");
  if (cyclingHour !== null) refuseUnlessWithin("cycling hour", cyclingHour, 0, 23, "o'clock UTC");
  if (sleepAfterMinutes !== null)
    refuseUnlessWithin("sleep after", sleepAfterMinutes, 0, SLEEP_AFTER_MINUTES_MAX, "minutes; 0 is never");
}

function refuseUnlessWithin(what: string, value: number | undefined, min: number, max: number, unit: string): void {
  if (value === undefined || (Number.isSafeInteger(value) && value >= min && value <= max)) return;
  throw new PlatformError(
    "invalid_params",
    `The ${what} cannot be ${value}: say a number from ${min} to ${max} (${unit}).`,
  );
}
