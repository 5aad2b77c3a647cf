import type { App } from "../model/app.ts";
import type { Schedule, ScheduleRun } from "../model/schedule.ts";

/** What the API asks of the scheduler. */
export interface Schedules {
  /** A schedule was made or changed: look soon. */
  nudge(): void;
  /**
   * Runs it at once, whether it is on or off. Throws `conflict` while one of its dynos runs and it allows no other, `invalid_params` for an
   * app without code.
   */
  runNow(request: RunNow): Promise<ScheduleRun>;
}

export interface RunNow {
  readonly app: App;
  readonly schedule: Schedule;
  readonly userEmail: string;
}
