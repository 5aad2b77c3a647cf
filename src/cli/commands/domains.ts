import { appOf } from "../app-name.ts";
import { type DomainJson, domainsOf, printAll } from "../certs.ts";
import { Client } from "../client.ts";
import { Input } from "../command.ts";
import { csvOf, domainRows } from "../domain-table.ts";
import { json, titled } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const domains = await domainsOf(client, app);
  if (input.has("json")) json(domains);
  else printAll(format(domains, app, input));
  return 0;
}

/** Throws `UsageError`. Pure. */
export function format(
  domains: readonly DomainJson[],
  app: string,
  input = new Input([], new Map()),
): readonly string[] {
  const own = domains.filter(({ kind }) => kind === "heroku").map(({ hostname }) => hostname);
  const custom = domains.filter(({ kind }) => kind === "custom");
  const rows = domainRows(custom, input);
  const lines = input.has("csv") ? csvOf(rows) : titled(rows);
  const more = rows.length === 1 ? [] : ["", "", `=== ${app} Custom Domains`, "", ...lines];
  return [`=== ${app} Heroku Domain`, "", ...own, ...more];
}
