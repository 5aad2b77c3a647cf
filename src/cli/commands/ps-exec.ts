import type { DynoJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { attach, SESSION_LOST } from "../attach.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { commandWanted, dynoOf, enter, isTerminal } from "../inside.ts";
import { commandOf } from "../one-off.ts";
import { action, marked, note, print, table } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  if (input.has("status")) return status(client, app);
  if (input.has("ssh")) note(" ›   Warning: --ssh is the official command line's; here the session goes over the API.");
  const dyno = dynoOf(input);
  const command = input.positionals.length === 0 ? "bash" : commandOf(input.positionals);
  const secret = await action(`Connecting to ${dyno} on ${marked(app)}`, () =>
    enter({ client, app, dyno }, commandWanted(command)),
  );
  return attach(client, secret, isTerminal(), { lost: SESSION_LOST });
}

/** Every dyno that runs can be reached: there is nothing to install in it. */
async function status(client: Client, app: string): Promise<number> {
  const dynos = await client.call<readonly DynoJson[]>("GET", `/apps/${app}/dynos`);
  print(`=== Heroku Exec ${marked(app)}\n`);
  const rows = dynos.map(({ name, state }) => [name, state === "up" ? "running" : "not running", state]);
  for (const line of table([["Dyno", "Proxy Status", "Dyno Status"], ...rows])) print(line);
  return 0;
}
