import { buildpackOf } from "../buildpacks.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json, keyed, print } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const name = buildpackOf("buildpacks:info", input);
  const found = await new Client().get<{ readonly category: string; readonly description: string }>(
    `/buildpacks/${encodeURIComponent(name)}`,
  );
  const { category, description } = found;
  if (input.has("json")) json(found);
  else {
    print(`=== ${name}\n`);
    for (const line of keyed(Object.entries({ description, category }))) print(line);
  }
  return 0;
}
