import { appOf } from "../app-name.ts";
import { domainsOf } from "../certs.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { action, json } from "../output.ts";

/** A domain is active once it was added: there is nothing to wait for but the answer that it is there. */
export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const [wanted] = input.positionals;
  const domains = await domainsOf(client, app);
  const found = domains.filter(({ hostname, id }) => wanted === undefined || hostname === wanted || id === wanted);
  if (wanted === undefined || found.length > 0) {
    for (const { hostname } of wanted === undefined ? [] : found)
      await action(`Waiting for ${hostname}`, async () => {});
    if (input.has("json")) json(found);
    return 0;
  }
  throw new UsageError(`Couldn't find that domain name (${wanted}).`, 1);
}
