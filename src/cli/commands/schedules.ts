import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { dateTime, json, marked, print, table, timeAgo } from "../output.ts";
import { outcomeOf, type ScheduleJson } from "../schedules.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const schedules = await client.get<readonly ScheduleJson[]>(`/apps/${app}/schedules`);
  if (input.has("json")) json(schedules);
  else for (const line of format(schedules, app, new Date())) print(line);
  return 0;
}

export function format(schedules: readonly ScheduleJson[], app: string, now: Date): readonly string[] {
  if (schedules.length === 0) return [`${marked(app)} has no schedules.`];
  const titles = ["Name", "Schedule", "Next Run", "Last Run", "Command"];
  const rows = schedules.map((schedule) => [
    schedule.name,
    `${schedule.schedule} ${schedule.timezone}`,
    nextRun(schedule),
    lastRun(schedule, now),
    schedule.command.split("\n")[0] ?? "",
  ]);
  return [`=== ${app} Schedules`, "", ...table([titles, ...rows])];
}

function nextRun({ enabled, next_run_at }: ScheduleJson): string {
  if (!enabled) return "off";
  return next_run_at === null ? "no code yet" : dateTime(new Date(next_run_at));
}

function lastRun({ last_run }: ScheduleJson, now: Date): string {
  return last_run === null ? "never" : `${outcomeOf(last_run)}, ${timeAgo(new Date(last_run.created_at), now)}`;
}
