import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { shellValue } from "../config-text.ts";
import { json, printValue } from "../output.ts";

export async function run(input: Input): Promise<number> {
  if (input.positionals.length === 0) throw new UsageError("Usage: stator config:get KEY...\nMust specify KEY.");
  const client = new Client();
  const app = await appOf(input, client.platform);
  const vars = await client.get<Readonly<Record<string, string>>>(`/apps/${app}/config-vars`);
  if (input.has("json")) {
    const pairs = input.positionals.map((key) => ({ key, value: Object.hasOwn(vars, key) ? vars[key] : null }));
    json(pairs.length === 1 ? pairs[0] : pairs);
    return 0;
  }
  for (const key of input.positionals) {
    const value = Object.hasOwn(vars, key) ? (vars[key] ?? "") : "";
    printValue(input.has("shell") ? `${key}=${shellValue(value)}` : value);
  }
  return 0;
}
