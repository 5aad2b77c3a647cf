import { appOf } from "../app-name.ts";
import type { BuildJson } from "../builds.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json, print, table, timeAgo } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const headers = { Range: "created_at ..; max=15, order=desc" };
  const builds = await client.get<readonly BuildJson[]>(`/apps/${app}/builds`, headers);
  if (input.has("json")) json(builds);
  else if (builds.length === 0) print(`${app} has no builds.`);
  else {
    print(`=== ${app} Builds\n`);
    const now = new Date();
    const rows = builds.map(({ id, status, source_blob, user, created_at }) => [
      id,
      status,
      (source_blob.version ?? "").slice(0, 8),
      user.email,
      timeAgo(new Date(created_at), now),
    ]);
    for (const line of table(rows)) print(line);
  }
  return 0;
}
