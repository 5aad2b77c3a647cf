import type { EndedDynoJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json, marked, print, table, timeAgo } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const dynos = await client.get<readonly EndedDynoJson[]>(`/apps/${app}/ended-dynos`);
  if (input.has("json")) json(dynos);
  else if (dynos.length === 0) print(`No one-off dyno of ${marked(app)} has ended yet`);
  else for (const line of format(dynos, new Date())) print(line);
  return 0;
}

/** The latest end first. */
export function format(dynos: readonly EndedDynoJson[], now: Date): readonly string[] {
  return table(
    dynos.map(({ name, exit_status, ended_at, command }) => [
      name,
      exit_status === null ? "no status" : `status ${exit_status}`,
      `ended ${timeAgo(new Date(ended_at), now)}`,
      command,
    ]),
  );
}
