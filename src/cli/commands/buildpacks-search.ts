import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { print, table } from "../output.ts";

interface EntryJson {
  readonly name: string;
  readonly namespace: string;
  readonly category: string;
  readonly description: string;
}

/** The platform's own: there is no registry of others here. */
export async function run(input: Input): Promise<number> {
  const term = (input.positionals[0] ?? "").toLowerCase();
  const all = await new Client().get<readonly EntryJson[]>("/buildpacks");
  const found = all.filter(({ name, namespace, description }) =>
    [name, namespace, description].some((text) => text.toLowerCase().includes(term)),
  );
  if (found.length === 0) print("No buildpacks found");
  else {
    const rows = found.map(({ name, namespace, category, description }) => [
      `${namespace}/${name}`,
      category,
      description,
    ]);
    for (const line of table([["Buildpack", "Category", "Description"], ...rows])) print(line);
    print(`\n${found.length} buildpack${found.length === 1 ? "" : "s"} found`);
  }
  return 0;
}
