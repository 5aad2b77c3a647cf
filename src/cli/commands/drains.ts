import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json, print } from "../output.ts";

interface DrainJson {
  readonly url: string;
  readonly token: string;
}

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const drains = await client.get<readonly DrainJson[]>(`/apps/${app}/log-drains`);
  if (input.has("json")) json(drains);
  else for (const line of format(drains)) print(line);
  return 0;
}

export function format(drains: readonly DrainJson[]): readonly string[] {
  return drains.length === 0 ? [] : ["=== Drains", "", ...drains.map(({ url, token }) => `${url} (${token})`)];
}
