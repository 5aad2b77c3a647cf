import { appOf } from "../app-name.ts";
import type { DomainJson } from "../certs.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { action, json, marked, print } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const hostname = hostnameOf(input, "domains:add");
  const client = new Client();
  const app = await appOf(input, client.platform);
  const body = { hostname, sni_endpoint: input.text("cert") ?? null };
  const domain = await action(`Adding ${hostname} to ${marked(app)}`, () =>
    client.call<DomainJson>("POST", `/apps/${app}/domains`, { body }),
  );
  if (input.has("json")) json(domain);
  else {
    print(`Configure your app's DNS provider to point to the DNS Target ${domain.cname}.`);
    print("    Any address of this machine does as well.");
  }
  return 0;
}

/** The only argument. Throws `UsageError`. */
export function hostnameOf({ positionals: [hostname, ...more] }: Input, command: string): string {
  if (hostname !== undefined && more.length === 0) return hostname;
  throw new UsageError(`Name one domain: stator ${command} www.example.com -a APP`);
}
