import { appOf } from "../app-name.ts";
import type { DomainJson } from "../certs.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { action, json, print } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const hostname = hostnameOf(input, "domains:add");
  const client = new Client();
  const app = await appOf(input, client.platform);
  const body = { hostname, sni_endpoint: input.text("cert") ?? null };
  const domain = await action(`Adding ${hostname} to ⬢ ${app}`, () =>
    client.call<DomainJson>("POST", `/apps/${app}/domains`, { body }),
  );
  if (input.has("json")) json(domain);
  else print(`Point ${domain.hostname} in its DNS to this machine, or with a CNAME to ${domain.cname}.`);
  return 0;
}

/** The only argument. Throws `UsageError`. */
export function hostnameOf({ positionals: [hostname, ...more] }: Input, command: string): string {
  if (hostname !== undefined && more.length === 0) return hostname;
  throw new UsageError(`Name one domain: stator ${command} www.example.com -a APP`, 1);
}
