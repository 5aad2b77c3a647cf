import { appOf } from "../app-name.ts";
import { type DomainJson, printAll } from "../certs.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { fields, json } from "../output.ts";
import { hostnameOf } from "./domains-add.ts";

export async function run(input: Input): Promise<number> {
  const hostname = hostnameOf(input, "domains:info");
  const client = new Client();
  const app = await appOf(input, client.platform);
  const domain = await client.get<DomainJson>(`/apps/${app}/domains/${encodeURIComponent(hostname)}`);
  if (input.has("json")) json(domain);
  else printAll(format(domain, app));
  return 0;
}

/** The API's fields, as the official CLI shows them; what is null is left out. */
export function format(domain: DomainJson, app: string): readonly string[] {
  return fields({ ...domain, app });
}
