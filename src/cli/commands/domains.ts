import { appOf } from "../app-name.ts";
import { type DomainJson, domainsOf, printAll } from "../certs.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json, table } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const domains = await domainsOf(client, app);
  if (input.has("json")) json(domains);
  else printAll(format(domains, app));
  return 0;
}

export function format(domains: readonly DomainJson[], app: string): readonly string[] {
  const own = domains.filter(({ kind }) => kind === "heroku").map(({ hostname }) => hostname);
  const custom = domains.filter(({ kind }) => kind === "custom");
  const rows = custom.map((each) => [each.hostname, each.cname ?? "", each.sni_endpoint?.name ?? ""]);
  const titles = ["Domain Name", "DNS Target", "SNI Endpoint"];
  const more = custom.length === 0 ? [] : ["", `=== ${app} Custom Domains`, "", ...table([titles, ...rows])];
  return [`=== ${app} Domain`, "", ...own, ...more];
}
