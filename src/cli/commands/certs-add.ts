import { readFile } from "node:fs/promises";
import { covers } from "../../model/certificate.ts";
import { appOf } from "../app-name.ts";
import { details, domainsOf, type EndpointJson, printAll } from "../certs.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { action, json, marked, note } from "../output.ts";
import { ask } from "../prompt.ts";

export async function run(input: Input): Promise<number> {
  const body = await pairOf(input, "certs:add");
  const client = new Client();
  const app = await appOf(input, client.platform);
  const endpoint = await action(`Adding SSL certificate to ${marked(app)}`, () =>
    client.call<EndpointJson>("POST", `/apps/${app}/sni-endpoints`, { body }),
  );
  if (input.has("json")) json(endpoint);
  else printAll(details(endpoint, new Date()));
  await offerDomains(client, app, endpoint);
  return 0;
}

/** The two files, as the API takes them. Throws `UsageError`. */
export async function pairOf(
  { positionals: [certificate, key, ...more] }: Input,
  command: string,
): Promise<{ readonly certificate_chain: string; readonly private_key: string }> {
  if (certificate === undefined || key === undefined || more.length > 0)
    throw new UsageError(
      `Usage: stator ${command} CRT KEY -a APP\nName two PEM files: the certificate with its chain, and its key.`,
    );
  const [certificate_chain, private_key] = await Promise.all([certificate, key].map(read));
  return { certificate_chain: certificate_chain ?? "", private_key: private_key ?? "" };
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`, 1);
  }
}

/** A certificate is shown for the domains that are bound to it: those without one that it covers are offered. */
async function offerDomains(client: Client, app: string, endpoint: EndpointJson): Promise<void> {
  const { name, ssl_cert: cert } = endpoint;
  const fitting = (await domainsOf(client, app)).filter(
    (each) => each.kind === "custom" && each.sni_endpoint === null && covers(cert.cert_domains, each.hostname),
  );
  if (fitting.length === 0) return;
  const names = fitting.map(({ hostname }) => hostname).join(", ");
  const isWanted = process.stdin.isTTY === true && /^(y|yes|)$/i.test(await ask(`Show it for ${names}? [Y/n] `));
  if (!isWanted)
    return note(`Show it for a domain with: stator domains:update HOSTNAME --cert ${name} (it covers ${names})`);
  for (const { hostname } of fitting) {
    await action(`Updating ${hostname} to use ${name} certificate`, () =>
      client.call("PATCH", `/apps/${app}/domains/${hostname}`, { body: { sni_endpoint: name } }),
    );
  }
}
