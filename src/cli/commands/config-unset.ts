import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { action, marked } from "../output.ts";
import { changed, version } from "./config-set.ts";

export async function run(input: Input): Promise<number> {
  const keys = input.positionals;
  if (keys.length === 0) throw new UsageError("Usage: stator config:unset KEY1 [KEY2 ...]\nMust specify KEY to unset.");
  const client = new Client();
  const app = await appOf(input, client.platform);
  const body = Object.fromEntries(keys.map((key): [string, null] => [key, null]));
  await action(`Unsetting ${keys.join(", ")} and restarting ${marked(app)}`, () => changed(client, app, body), version);
  return 0;
}
