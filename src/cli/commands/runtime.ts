import type { RuntimeJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json, keyed, print } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const runtime = await client.get<RuntimeJson>(`/apps/${app}/runtime`);
  if (input.has("json")) json(runtime);
  else for (const line of format(runtime, app)) print(line);
  return 0;
}

/** The names are those that `runtime:set` takes. */
export function format(runtime: RuntimeJson, app: string): readonly string[] {
  const hour = runtime.cycling_hour;
  return [
    `=== ${app} Runtime`,
    "",
    ...keyed([
      ["boot-timeout", `${runtime.boot_timeout} s`],
      ["stop-grace", `${runtime.stop_grace} s`],
      ["release-timeout", `${runtime.release_timeout} s`],
      ["restart-policy", runtime.restart_policy],
      ["rollout", runtime.rollout],
      ["preboot-delay", `${runtime.preboot_delay} s`],
      ["daily-cycling", runtime.daily_cycling ? "on" : "off"],
      ["cycling-hour", hour === null ? "none" : `${String(hour).padStart(2, "0")}:00 UTC`],
    ]),
  ];
}
