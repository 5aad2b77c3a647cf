import { appOf } from "../app-name.ts";
import { put } from "../buildpacks.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json, print } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  await clear(client, await appOf(input, client.platform), "Buildpacks cleared.", input);
  return 0;
}

export async function clear(client: Client, app: string, what: string, input: Input): Promise<void> {
  const list = await put(client, app, []);
  if (input.has("json")) json(list);
  else print(`${what} Next release on ${app} will detect buildpacks normally.`);
}
