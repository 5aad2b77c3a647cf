import type { AppJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { Input, UsageError } from "../command.ts";
import { gitUrl, setRemote } from "../git-remote.ts";
import { json, print } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  // -r names the remote to make here, not one to look the app up with.
  const given = input.text("app") ?? input.positionals[0];
  const lookup = new Input([], given === undefined ? new Map() : new Map([["app", given]]));
  const app = await client.get<AppJson>(`/apps/${await appOf(lookup, client.platform)}`);
  const remote = await setRemote(client.platform, app.name, input.text("remote"));
  if (remote === undefined) throw new UsageError("There is no git repository here.", 1);
  const url = gitUrl(client.platform, app.name);
  if (input.has("json")) json({ remote, url });
  else print(`set git remote ${remote} to ${url}`);
  return 0;
}
