import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json, marked, print, table, timeAgo } from "../output.ts";
import { type RecordingJson, recordingsPath } from "../recordings.ts";

const COMMAND_SHOWN = 60;

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const all = await client.call<readonly RecordingJson[]>("GET", recordingsPath(app));
  if (input.has("json")) {
    json(all);
    return 0;
  }
  const { enabled } = await client.call<{ readonly enabled: boolean }>("GET", `/apps/${app}/stator/session-recording`);
  const how = enabled ? "are recorded" : `are not recorded (stator recordings:enable -a ${app})`;
  print(`Sessions in dynos of ${marked(app)} ${how}.`);
  const rows = all.map((each) => [
    each.id.slice(0, 8),
    timeAgo(new Date(each.created_at), new Date()),
    each.dyno,
    each.user.email,
    each.exit_status === null ? "-" : String(each.exit_status),
    each.command.replaceAll(/[^\x20-\x7e]+/g, " ").slice(0, COMMAND_SHOWN),
  ]);
  if (rows.length > 0) print();
  for (const line of rows.length === 0 ? [] : table([["ID", "Began", "Dyno", "Who", "Status", "Command"], ...rows]))
    print(line);
  return 0;
}
