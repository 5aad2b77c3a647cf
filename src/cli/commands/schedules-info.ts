import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { dateTime, json, keyed, print } from "../output.ts";
import { nameOf, outcomeOf, pathOf, type RunJson, type ScheduleJson, scheduleNamed } from "../schedules.ts";

export async function run(input: Input): Promise<number> {
  const name = nameOf(input, "schedules:info");
  const client = new Client();
  const app = await appOf(input, client.platform);
  const schedule = await scheduleNamed(client, app, name);
  const runs = await client.get<readonly RunJson[]>(`${pathOf(app, name)}/runs`);
  if (input.has("json")) json({ ...schedule, runs });
  else for (const line of format(schedule, runs)) print(line);
  return 0;
}

export function format(schedule: ScheduleJson, runs: readonly RunJson[]): readonly string[] {
  const next = schedule.next_run_at === null ? "none" : dateTime(new Date(schedule.next_run_at));
  return [
    `=== ${schedule.name}`,
    "",
    ...keyed([
      ["Command", schedule.command],
      ["Schedule", `${schedule.schedule} ${schedule.timezone}`],
      ["Next Run", schedule.enabled ? next : "off"],
      ["Overlap", schedule.concurrency_policy],
      ["Size", schedule.size ?? "the default"],
      ["From", schedule.source],
    ]),
    "",
    ...(runs.length === 0 ? ["No runs yet."] : runs.map(runLine)),
  ];
}

function runLine(run: RunJson): string {
  const at = dateTime(new Date(run.due_at ?? run.created_at));
  const asked = run.due_at === null ? " (run now)" : "";
  const who = run.dyno === null || run.ended_at === null ? "" : ` (${run.dyno.name})`;
  const reason = run.reason === null ? "" : `: ${run.reason}`;
  return `${at}${asked}  ${outcomeOf(run)}${who}${reason}`;
}
