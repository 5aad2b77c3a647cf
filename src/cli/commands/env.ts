import type { Input } from "../command.ts";
import { officialEnvironment } from "../official.ts";
import { json, print, shellQuote } from "../output.ts";
import { choosePlatform } from "../platform.ts";

export async function run(input: Input): Promise<number> {
  const values = await officialEnvironment(choosePlatform());
  if (input.has("json")) json(values);
  else for (const line of exportsOf(values)) print(line);
  return 0;
}

/** Lines for `eval` in a POSIX shell. */
export function exportsOf(values: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(values).map(([name, value]) => `export ${name}=${shellQuote(value)}`);
}
