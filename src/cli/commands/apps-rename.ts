import type { AppJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { gitUrl, renameRemotes } from "../git-remote.ts";
import { action, marked, print, warn } from "../output.ts";
import { wordOf } from "../words.ts";

export async function run(input: Input): Promise<number> {
  const name = wordOf("apps:rename", "NAME", input);
  const client = new Client();
  const old = await appOf(input, client.platform);
  const app = await action(`Renaming ${marked(old)} to ${name}`, () =>
    client.call<AppJson>("PATCH", `/apps/${old}`, { body: { name } }),
  );
  print(`${app.web_url} | ${gitUrl(client.platform, app.name)}`);
  for (const remote of await renameRemotes(client.platform, old, app.name)) print(`Git remote ${remote} updated`);
  warn("Don't forget to update git remotes for all other local checkouts of the app.");
  return 0;
}
