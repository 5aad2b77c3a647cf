import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { action } from "../output.ts";
import { hostnameOf } from "./domains-add.ts";

export async function run(input: Input): Promise<number> {
  const hostname = hostnameOf(input, "domains:update");
  const client = new Client();
  const app = await appOf(input, client.platform);
  const name = input.text("cert") ?? null;
  await action(`Updating ${hostname} to use ${name ?? "the platform's own"} certificate`, () =>
    client.call("PATCH", `/apps/${app}/domains/${encodeURIComponent(hostname)}`, { body: { sni_endpoint: name } }),
  );
  return 0;
}
