import { setTimeout as pause } from "node:timers/promises";
import type { AppJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { type DomainJson, domainsOf, printAll } from "../certs.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { action, json, marked, titled } from "../output.ts";

const LOOK_MS = 2_000;

/** With --wait: 1 when a domain failed. */
export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const { acm } = await client.get<AppJson>(`/apps/${app}`);
  const isDone = !acm || !input.has("wait") || (await waitForAll(client, app));
  const domains = (await domainsOf(client, app)).filter(({ kind }) => kind === "custom");
  if (input.has("json")) json({ acm, domains });
  else printAll(format(acm, domains, app));
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

export function format(acm: boolean, domains: readonly DomainJson[], app: string): readonly string[] {
  if (!acm) return [`=== Automatic Certificate Management is disabled on ${marked(app)}`];
  const title = `=== Automatic Certificate Management is enabled on ${marked(app)}`;
  if (domains.length === 0) return [title, "", "Add a domain to the app with: stator domains:add HOSTNAME"];
  const rows = domains.map((each) => [each.hostname, statusOf(each), each.acm_status_reason ?? ""]);
  return [title, "", ...titled([["Domain", "Status", "Reason"], ...rows])];
}

function statusOf({ acm_status: status, sni_endpoint: endpoint }: DomainJson): string {
  if (status === null) return endpoint === null ? "Waiting" : `uses ${endpoint.name}`;
  return status
    .split("-")
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join(" ");
}
