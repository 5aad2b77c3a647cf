import type { RuntimeJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json, keyed, print, timeAgo } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const runtime = await client.get<RuntimeJson>(`/apps/${app}/runtime`);
  if (input.has("json")) json(runtime);
  else for (const line of format(runtime, app, new Date())) print(line);
  return 0;
}

/** The names are those that `runtime:set` takes, and `asleep-since` while it is. */
export function format(runtime: RuntimeJson, app: string, now: Date): readonly string[] {
  const { asleep_since: asleepSince, cycling_hour: hour } = runtime;
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
      ["sleep-after", sleepAfterInWords(runtime.sleep_after)],
      ...(asleepSince === null ? [] : [["asleep-since", timeAgo(new Date(asleepSince), now)] as const]),
    ]),
  ];
}

function sleepAfterInWords(minutes: number | null): string {
  if (minutes === null) return "none";
  return minutes === 0 ? "0 (never)" : `${minutes} min`;
}
