import { appOf } from "../app-name.ts";
import { type EndpointJson, endpointsOf, minuteOf, warnOfExpiry } from "../certs.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json, marked, print, titled } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const endpoints = await endpointsOf(client, app);
  if (input.has("json")) json(endpoints);
  else for (const line of format(endpoints, app)) print(line);
  warnOfExpiry(endpoints, Date.now());
  return 0;
}

export function format(endpoints: readonly EndpointJson[], app: string): readonly string[] {
  if (endpoints.length === 0)
    return [`${marked(app)} has no SSL certificates.`, "Use stator certs:add CRT KEY to add one."];
  const sorted = endpoints.toSorted((one, other) => (one.name < other.name ? -1 : 1));
  const isCounted = sorted.some(({ ssl_cert: cert }) => !cert.acm);
  const titles = ["Name", "Common Name(s)", "Expires", "Trusted", "Type", ...(isCounted ? ["Domains"] : [])];
  const rows = sorted.map(({ name, domains, ssl_cert: cert }) => [
    name,
    cert.cert_domains.join(", "),
    minuteOf(cert.expires_at),
    cert["ca_signed?"] ? "True" : "False",
    cert.acm ? "ACM" : "SNI",
    cert.acm ? "" : String(domains.length),
  ]);
  return titled([titles, ...rows]);
}
