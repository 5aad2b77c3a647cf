import type { AppJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json, marked, print } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await client.get<AppJson>(`/apps/${await appOf(input, client.platform)}`);
  const stacks = await client.get<readonly { readonly name: string }[]>("/stacks");
  if (input.has("json")) json(stacks);
  else {
    print(`=== ${marked(app.name)} Available Stacks\n`);
    for (const { name } of stacks) print(`${name === app.stack.name ? "*" : " "} ${name}`);
  }
  return 0;
}
