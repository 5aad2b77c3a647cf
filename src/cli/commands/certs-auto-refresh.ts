import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { action } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  await action("Refreshing Automatic Certificate Management", () =>
    client.call("PATCH", `/apps/${app}/acm`, { body: { acm_refresh: true } }),
  );
  return 0;
}
