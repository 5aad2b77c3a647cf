import { loadConfig } from "../../config.ts";
import { readAllowed } from "../../host/network-allow.ts";
import type { Input } from "../command.ts";
import { appNames, namedAppIfAny, needRoot } from "../network.ts";
import { json, marked, note, print, table } from "../output.ts";

export async function run(input: Input): Promise<number> {
  needRoot("network", input);
  const config = loadConfig();
  const only = await namedAppIfAny(input, config);
  const { apps } = await readAllowed(config.instance);
  const names = await appNames(config);
  const rows = [...apps]
    .filter(([appId]) => only === undefined || appId === only.id)
    .flatMap(([id, destinations]) => destinations.map((each) => ({ app: { id, name: names.get(id) ?? null }, each })))
    .toSorted((one, other) => ((one.app.name ?? "") < (other.app.name ?? "") ? -1 : 1));
  if (input.has("json"))
    json(rows.map(({ app, each: { text, where, port } }) => ({ app, destination: text, address: where, port })));
  else if (rows.length === 0)
    note(`Nothing beside the internet was allowed${only ? ` for ${marked(only.name)}` : ""}.`);
  else for (const line of table(rows.map(({ app, each }) => [app.name ?? app.id, each.text]))) print(line);
  return 0;
}
