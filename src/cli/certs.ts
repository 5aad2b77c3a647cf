import type { Client } from "./client.ts";
import { type Input, UsageError } from "./command.ts";
import { fields, print, warn } from "./output.ts";
import { ask } from "./prompt.ts";

/** What the commands about certificates share (platform-api 4.5). */
export interface EndpointJson {
  readonly id: string;
  readonly name: string;
  /** Their ids. */
  readonly domains: readonly string[];
  readonly ssl_cert: {
    readonly acm: boolean;
    readonly "ca_signed?": boolean;
    readonly cert_domains: readonly string[];
    readonly expires_at: string;
    readonly issuer: string;
    readonly starts_at: string;
    readonly subject: string;
  };
}
export interface DomainJson {
  readonly id: string;
  readonly hostname: string;
  readonly kind: "heroku" | "custom";
  readonly cname: string | null;
  readonly sni_endpoint: { readonly name: string } | null;
  readonly acm_status: string | null;
  readonly acm_status_reason: string | null;
  readonly updated_at: string;
}

const SOON_MS = 14 * 86_400_000;

export const endpointsOf = (client: Client, app: string): Promise<readonly EndpointJson[]> =>
  client.get<readonly EndpointJson[]>(`/apps/${app}/sni-endpoints`);
export const domainsOf = (client: Client, app: string): Promise<readonly DomainJson[]> =>
  client.get<readonly DomainJson[]>(`/apps/${app}/domains`, { Range: "id ..; max=1000;" });

/** The one that `--name` or `--endpoint` (a host name) means, or the only one. Throws `UsageError` in the official CLI's words. */
export async function endpointOf(input: Input, client: Client, app: string): Promise<EndpointJson> {
  const [name, host] = [input.text("name"), input.text("endpoint")];
  if (name !== undefined && host !== undefined)
    throw new UsageError("Specified both --name and --endpoint, please use just one", 1);
  const all = await endpointsOf(client, app);
  if (all.length === 0) throw new UsageError(`${app} has no SSL certificates`, 1);
  const wanted =
    host === undefined
      ? name
      : (await domainsOf(client, app)).find(({ hostname }) => hostname === host)?.sni_endpoint?.name;
  const found = name === undefined && host === undefined ? all : all.filter((each) => each.name === wanted);
  if (found.length > 1) throw new UsageError("Must pass --name when more than one endpoint", 1);
  const [only] = found;
  if (only === undefined) throw new UsageError("Record not found.", 1);
  return only;
}

/** What `certs:add`, `certs:info`, `certs:update` and `certs:auto` print. `hosts`: the domains that it is shown for. */
export function details(
  { ssl_cert: cert }: EndpointJson,
  now: Date,
  title = "Certificate details:",
  hosts: readonly string[] = [],
): readonly string[] {
  const trust = cert["ca_signed?"]
    ? "SSL certificate is verified by a root authority."
    : cert.issuer === cert.subject
      ? "SSL certificate is self signed."
      : "SSL certificate is not trusted.";
  const renewal = new Date(cert.expires_at);
  renewal.setMonth(renewal.getMonth() - 1);
  return [
    ...(cert.acm && renewal > now ? [`Renewal scheduled for ${minuteOf(renewal.toISOString())}.`, ""] : []),
    title,
    ...fields({
      "Common Name(s)": cert.cert_domains,
      "Expires At": minuteOf(cert.expires_at),
      Issuer: cert.issuer,
      "Starts At": minuteOf(cert.starts_at),
      Subject: cert.subject,
      "Domain(s)": hosts,
    }),
    trust,
  ];
}

/** Says on standard error which certificates of a user's own end soon, or have ended. */
export function warnOfExpiry(endpoints: readonly EndpointJson[], now: number): void {
  for (const { name, ssl_cert: cert } of endpoints) {
    const left = Date.parse(cert.expires_at) - now;
    if (left > SOON_MS) continue;
    const when = left <= 0 ? "has expired" : `expires in ${Math.ceil(left / 86_400_000)} days`;
    const what = cert.acm ? "and was not renewed: see certs:auto" : `: renew it and type certs:update --name ${name}`;
    warn(`${name} (${cert.cert_domains.join(", ")}) ${when} ${what}`.replace(" :", ":"));
  }
}

/** `2027-01-31 10:00 UTC` */
export function minuteOf(time: string): string {
  return `${new Date(time).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

/** Asks for the app's name unless `--confirm` gave it. Throws `UsageError`. */
export async function confirmed(app: string, input: Input, warning: string): Promise<void> {
  const given = input.text("confirm");
  if (given === undefined) {
    warn(warning);
    const answer = await ask(`To proceed, type ${app} or re-run this command with --confirm ${app}: `);
    if (answer === app) return;
  } else if (given === app) return;
  throw new UsageError(`Confirmation did not match ${app}. Aborted.`, 1);
}

export function printAll(lines: readonly string[]): void {
  for (const line of lines) print(line);
}
