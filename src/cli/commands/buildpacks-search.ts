import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json, print, titled } from "../output.ts";

interface EntryJson {
  readonly name: string;
  readonly namespace: string;
  readonly category: string;
  readonly description: string;
}

/** The platform's own: there is no registry of others here. */
export async function run(input: Input): Promise<number> {
  const holds = (text: string, part = "") => text.toLowerCase().includes(part.toLowerCase());
  const all = await new Client().get<readonly EntryJson[]>("/buildpacks");
  const found = all.filter(
    ({ name, namespace, description }) =>
      [name, namespace, description].some((text) => holds(text, input.positionals[0])) &&
      holds(name, input.text("name")) &&
      holds(namespace, input.text("namespace")) &&
      holds(description, input.text("description")),
  );
  if (input.has("json")) json(found);
  else if (found.length === 0) print("No buildpacks found");
  else {
    const rows = found.map(({ name, namespace, category, description }) => [
      `${namespace}/${name}`,
      category,
      description,
    ]);
    for (const line of titled([["Buildpack", "Category", "Description"], ...rows])) print(line);
    print(`\n${found.length} buildpack${found.length === 1 ? "" : "s"} found`);
  }
  return 0;
}
