import { appOf } from "../app-name.ts";
import { details, domainsOf, endpointOf, printAll, warnOfExpiry } from "../certs.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const endpoint = await endpointOf(input, client, app);
  const domains = input.has("show-domains") ? await domainsOf(client, app) : [];
  const hosts = endpoint.domains.flatMap((id) => domains.find((each) => each.id === id)?.hostname ?? []);
  if (input.has("json")) json(endpoint);
  else printAll(details(endpoint, new Date(), undefined, hosts));
  warnOfExpiry([endpoint], Date.now());
  return 0;
}
