import { appOf } from "../app-name.ts";
import { installationsOf, shown } from "../buildpacks.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json, print } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const list = await installationsOf(client, app);
  if (input.has("json")) json(list.map((each) => ({ ...each, buildpack: { ...each.buildpack, url: shown(each) } })));
  else if (list.length === 0) print(`${app} has no Buildpacks.`);
  else {
    print(`=== ${app} Classic Buildpack${list.length > 1 ? "s" : ""}\n`);
    for (const each of list) print(list.length === 1 ? shown(each) : `${each.ordinal + 1}. ${shown(each)}`);
  }
  return 0;
}
