import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { commandOf } from "../one-off.ts";
import { action, marked } from "../output.ts";
import type { ScheduleJson } from "../schedules.ts";

export async function run(input: Input): Promise<number> {
  const body = bodyOf(input);
  const client = new Client();
  const app = await appOf(input, client.platform);
  await action(
    `Adding a schedule to ${marked(app)}`,
    () => client.call<ScheduleJson>("POST", `/apps/${app}/schedules`, { body }),
    (made) => `${made.name} (${made.schedule} ${made.timezone})`,
  );
  return 0;
}

/** Throws `UsageError`. */
export function bodyOf(input: Input): Readonly<Record<string, string>> {
  const schedule = input.text("schedule");
  if (schedule === undefined || input.positionals.length === 0)
    throw new UsageError("Usage: stator schedules:add --schedule '0 3 * * *' [--timezone ZONE] -- COMMAND");
  const optional = { timezone: "timezone", name: "name", size: "size", concurrency_policy: "concurrency" };
  const given = Object.entries(optional).flatMap(([field, flag]): [string, string][] => {
    const value = input.text(flag);
    return value === undefined ? [] : [[field, value]];
  });
  return { command: commandOf(input.positionals), schedule, ...Object.fromEntries(given) };
}
