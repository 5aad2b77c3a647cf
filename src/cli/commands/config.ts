import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { shellValue } from "../config-text.ts";
import { json, keyed, print, printValue } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const vars = await client.get<Readonly<Record<string, string>>>(`/apps/${app}/config-vars`);
  const pairs = Object.entries(vars).toSorted(([one], [other]) => (one < other ? -1 : 1));
  if (input.has("json")) json(vars);
  else if (input.has("shell")) for (const [key, value] of pairs) printValue(`${key}=${shellValue(value)}`);
  else {
    print(`=== ${app} Config Vars\n`);
    for (const line of pairs.length === 0 ? [""] : keyed(pairs)) print(line);
  }
  return 0;
}
