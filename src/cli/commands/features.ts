import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { type FeatureJson, printFeatures } from "../features.ts";
import { action, json, keyed, marked, print } from "../output.ts";
import { wordOf } from "../words.ts";

export async function list(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const all = await client.get<readonly FeatureJson[]>(`/apps/${app}/features`);
  const general = all.filter(({ state }) => state === "general");
  if (input.has("json")) json(general);
  else {
    print(`=== App Features ${app}\n`);
    printFeatures(general);
  }
  return 0;
}

export async function info(input: Input): Promise<number> {
  const { client, path } = await target(input, "info");
  const feature = await client.get<FeatureJson>(path);
  if (input.has("json")) json(feature);
  else {
    print(`=== ${feature.name}\n`);
    const facts = { Description: feature.description, Docs: feature.doc_url || "''", Enabled: String(feature.enabled) };
    for (const line of keyed(Object.entries(facts))) print(line);
  }
  return 0;
}

export const enable = (input: Input): Promise<number> => turn(input, true);
export const disable = (input: Input): Promise<number> => turn(input, false);

async function turn(input: Input, enabled: boolean): Promise<number> {
  const { client, app, name, path } = await target(input, enabled ? "enable" : "disable");
  await action(`${enabled ? "Enabling" : "Disabling"} ${name} for ${marked(app)}`, async () => {
    const feature = await client.get<FeatureJson>(path);
    if (feature.enabled === enabled) throw new UsageError(`${name} is already ${enabled ? "enabled" : "disabled"}.`, 1);
    await client.call("PATCH", path, { body: { enabled } });
  });
  return 0;
}

async function target(input: Input, command: string) {
  const name = wordOf(`features:${command}`, "FEATURE", input);
  const client = new Client();
  const app = await appOf(input, client.platform);
  return { client, app, name, path: `/apps/${app}/features/${encodeURIComponent(name)}` };
}
