import type { AccountJson } from "../api.ts";
import { appIfAny } from "../app-name.ts";
import { ApiError, Client } from "../client.ts";
import type { Input } from "../command.ts";
import { type FeatureJson, printFeatures } from "../features.ts";
import { action, json, keyed, marked, print } from "../output.ts";
import { wordOf } from "../words.ts";

export async function list(input: Input): Promise<number> {
  const client = new Client();
  const name = await appIfAny(input, client.platform);
  const [account, ofUser, ofApp] = await Promise.all([
    client.get<AccountJson>("/account"),
    client.get<readonly FeatureJson[]>("/account/features"),
    name === undefined ? null : client.get<readonly FeatureJson[]>(`/apps/${name}/features`),
  ]);
  if (input.has("json")) {
    json({ app: ofApp, user: ofUser });
    return 0;
  }
  print(`=== User Features ${account.email}\n`);
  printFeatures(ofUser.filter(isExperimental));
  if (ofApp !== null) {
    print(`\n=== App Features ${name}\n`);
    printFeatures(ofApp.filter(isExperimental));
  }
  return 0;
}

const isExperimental = ({ state }: FeatureJson): boolean => state !== "general";

export async function info(input: Input): Promise<number> {
  const { feature } = await found(input, "info");
  if (input.has("json")) json(feature);
  else {
    print(`=== ${feature.name}\n`);
    const facts = { Description: feature.description, Enabled: String(feature.enabled), Docs: feature.doc_url || "''" };
    for (const line of keyed(Object.entries(facts))) print(line);
  }
  return 0;
}

export const enable = (input: Input): Promise<number> => turn(input, true);
export const disable = (input: Input): Promise<number> => turn(input, false);

async function turn(input: Input, enabled: boolean): Promise<number> {
  const { client, name, path, of } = await found(input, enabled ? "enable" : "disable");
  await action(`${enabled ? "Enabling" : "Disabling"} ${name} for ${of}`, () =>
    client.call("PATCH", path, { body: { enabled } }),
  );
  return 0;
}

/** The account's feature of that name, else the app's, as the official client looks. */
async function found(input: Input, command: string) {
  const name = wordOf(`labs:${command}`, "FEATURE", input);
  const client = new Client();
  const word = encodeURIComponent(name);
  try {
    const path = `/account/features/${word}`;
    const feature = await client.get<FeatureJson>(path);
    return { client, name, path, feature, of: (await client.get<AccountJson>("/account")).email };
  } catch (error) {
    const app = await appIfAny(input, client.platform);
    if (!(error instanceof ApiError && error.status === 404) || app === undefined) throw error;
    const path = `/apps/${app}/features/${word}`;
    return { client, name, path, feature: await client.get<FeatureJson>(path), of: `${marked(app)}` };
  }
}
