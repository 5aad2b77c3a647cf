import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { rulesOf, textOf } from "../egress.ts";
import { json, marked, note, print, table } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const rules = await rulesOf(client, app);
  if (input.has("json")) json(rules);
  else if (rules.length === 0)
    note(`${marked(app)} has no egress rules: its dynos reach what the platform lets every dyno reach.`);
  else for (const line of table(rules.map((rule) => [rule.action, textOf(rule)]))) print(line);
  return 0;
}
