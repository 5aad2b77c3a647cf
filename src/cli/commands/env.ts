import { loadConfig } from "../../config.ts";
import { EXEC_PORT } from "../../model/exec-address.ts";
import type { Input } from "../command.ts";
import { officialEnvironment } from "../official.ts";
import { json, print, shellQuote } from "../output.ts";
import { choosePlatform } from "../platform.ts";
import { execAddressOfRelay } from "../relays.ts";

export async function run(input: Input): Promise<number> {
  const platform = choosePlatform();
  const values = await officialEnvironment(platform);
  if (input.has("json")) {
    json(values);
    return 0;
  }
  for (const line of exportsOf(values)) print(line);
  print(execNote(platform.local ? loadConfig().execAddress : await execAddressOfRelay(platform.url))); // last: in `eval $(stator env)` it comments the rest out
  return 0;
}

/** Where `ps:exec` of the official CLI goes, which no variable says. */
function execNote(address: string | null): string {
  const how = address === null ? "does not work here; stator ps:exec does" : `comes by SSH to ${address}:${EXEC_PORT}`;
  return `# ps:exec of the official CLI ${how}`;
}

/** Lines for `eval` in a POSIX shell. */
export function exportsOf(values: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(values).map(([name, value]) => `export ${name}=${shellQuote(value)}`);
}
