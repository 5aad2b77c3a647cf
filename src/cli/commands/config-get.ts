import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { print, shellQuote } from "../output.ts";

export async function run(input: Input): Promise<number> {
  if (input.positionals.length === 0) throw new UsageError("Usage: stator config:get KEY...\nMust specify KEY.", 1);
  const client = new Client();
  const app = await appOf(input, client.platform);
  const vars = await client.get<Readonly<Record<string, string>>>(`/apps/${app}/config-vars`);
  for (const key of input.positionals) {
    const value = Object.hasOwn(vars, key) ? (vars[key] ?? "") : "";
    print(input.has("shell") ? `${key}=${shellQuote(value)}` : value);
  }
  return 0;
}
