import { appOf } from "../app-name.ts";
import { confirmed } from "../certs.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { action, marked } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const warning = `This will remove the certificates that the platform got for ${marked(app)}: clients will refuse its domains.`;
  await confirmed(app, input, warning);
  await action("Disabling Automatic Certificate Management", () => client.call("DELETE", `/apps/${app}/acm`));
  return 0;
}
