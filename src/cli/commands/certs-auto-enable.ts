import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { action, print } from "../output.ts";
import { waitForAll } from "./certs-auto.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  await action("Enabling Automatic Certificate Management", () =>
    client.call("POST", `/apps/${app}/acm`, { body: {} }),
  );
  if (input.has("wait")) return (await waitForAll(client, app)) ? 0 : 1;
  print("=== Your certificate will now be managed by the platform. Check the status by running stator certs:auto.\n");
  return 0;
}
