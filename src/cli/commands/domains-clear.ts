import { appOf } from "../app-name.ts";
import { domainsOf } from "../certs.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { action, marked } from "../output.ts";

/** All but the app's own name. */
export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  await action(`Removing all domains from ${marked(app)}`, async () => {
    const custom = (await domainsOf(client, app)).filter(({ kind }) => kind === "custom");
    for (const { id } of custom) await client.call("DELETE", `/apps/${app}/domains/${id}`);
  });
  return 0;
}
