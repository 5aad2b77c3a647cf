import { setTimeout as pause } from "node:timers/promises";
import type { AppJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { type DomainJson, details, domainsOf, type EndpointJson, endpointsOf, printAll } from "../certs.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { distance } from "../distance.ts";
import { action, json, marked, titled } from "../output.ts";

const LOOK_MS = 2_000;

/** With --wait: 1 when a domain failed. */
export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const [{ acm }, endpoints] = await Promise.all([client.get<AppJson>(`/apps/${app}`), endpointsOf(client, app)]);
  const title = `=== Automatic Certificate Management is ${acm ? "enabled" : "disabled"} on ${marked(app)}`;
  const isDone = !acm || !input.has("wait") || (await waitForAll(client, app));
  const domains = (await domainsOf(client, app)).filter(({ kind }) => kind === "custom");
  if (input.has("json")) json({ acm, domains });
  else printAll([title, "", ...(acm ? format(domains, endpoints, new Date()) : [])]);
  return isDone ? 0 : 1;
}

/** Until every domain has its certificate, or failed; whether none failed. */
export async function waitForAll(client: Client, app: string): Promise<boolean> {
  const statuses = async () =>
    (await domainsOf(client, app)).filter(({ kind }) => kind === "custom").map(({ acm_status: status }) => status);
  return action("Waiting until the certificate is issued to all domains", async () => {
    for (;;) {
      const all = await statuses();
      if (all.every((status) => status === "cert issued" || status === "failed")) return !all.includes("failed");
      await pause(LOOK_MS);
    }
  });
}

/** What is shown below the title where it is on. */
export function format(
  domains: readonly DomainJson[],
  endpoints: readonly EndpointJson[],
  now: Date,
): readonly string[] {
  const [only, ...more] = endpoints;
  const shown = only?.ssl_cert.acm === true && more.length === 0 ? [...details(only, now), ""] : [];
  const hint = hintOf(domains);
  const end = hint === undefined ? [] : [`=== ${hint}`, ""];
  if (domains.length === 0) return [...shown, ...end];
  const hasReasons = domains.some(({ acm_status_reason: reason }) => reason !== null);
  const heads = ["Domain", "Status", ...(hasReasons ? ["Reason"] : []), "Last Updated"];
  const rows = domains.map((each) => [
    each.hostname,
    statusOf(each),
    ...(hasReasons ? [each.acm_status_reason ?? ""] : []),
    distance(new Date(each.updated_at), now),
  ]);
  return [...shown, ...titled([heads, ...rows]), ...(hint === undefined ? [] : ["", ...end])];
}

/** What to do next. */
function hintOf(domains: readonly DomainJson[]): string | undefined {
  if (domains.length === 0) return "Add a custom domain to your app by running: stator domains:add <yourdomain.com>";
  const has = (status: string): boolean => domains.some(({ acm_status: each }) => each === status);
  if (has("failed"))
    return "Some domains failed validation after multiple attempts, retry by running: stator certs:auto:refresh";
  return has("failing")
    ? "Some domains are failing validation, please verify that your DNS matches: stator domains"
    : undefined;
}

const STATUSES: Readonly<Record<string, string>> = {
  ok: "OK",
  verified: "In Progress",
  "dns-verified": "DNS Verified",
};

function statusOf({ acm_status: status, sni_endpoint: endpoint }: DomainJson): string {
  if (status === null) return endpoint === null ? "Waiting" : `uses ${endpoint.name}`;
  const words = status.split("-").map((word) => word.charAt(0).toUpperCase() + word.slice(1));
  return STATUSES[status] ?? words.join(" ");
}
