import type { Client } from "./client.ts";
import { type Input, UsageError } from "./command.ts";

/** What the commands read of a schedule. */
export interface ScheduleJson {
  readonly id: string;
  readonly name: string;
  readonly command: string;
  readonly schedule: string;
  readonly timezone: string;
  readonly concurrency_policy: string;
  readonly size: string | null;
  readonly enabled: boolean;
  readonly source: string;
  readonly next_run_at: string | null;
  readonly running: readonly { readonly name: string }[];
  readonly last_run: RunJson | null;
}

export interface RunJson {
  readonly outcome: "started" | "skipped" | "missed";
  readonly created_at: string;
  readonly due_at: string | null;
  readonly ended_at: string | null;
  readonly exit_status: number | null;
  readonly missed: number;
  readonly reason: string | null;
  readonly dyno: { readonly name: string } | null;
}

/** The one name, or id, that the command was given. Throws `UsageError`. */
export function nameOf(input: Input, command: string): string {
  const [name, extra] = input.positionals;
  if (name === undefined || extra !== undefined)
    throw new UsageError(`Usage: stator ${command} NAME\nThe names are those that stator schedules shows.`);
  return name;
}

export function pathOf(app: string, name: string): string {
  return `/apps/${app}/schedules/${encodeURIComponent(name)}`;
}

export function scheduleNamed(client: Client, app: string, name: string): Promise<ScheduleJson> {
  return client.get<ScheduleJson>(pathOf(app, name));
}

/** `exited with status 1`, `running as scheduler.1234`, `skipped`. */
export function outcomeOf(run: RunJson): string {
  if (run.outcome === "skipped") return "skipped";
  if (run.outcome === "missed") return run.missed === 1 ? "missed" : `missed ${run.missed} times`;
  if (run.ended_at === null) return `running as ${run.dyno?.name ?? "a dyno"}`;
  return run.exit_status === null ? "lost or not started" : `exited with status ${run.exit_status}`;
}
