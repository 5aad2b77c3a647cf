import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { print } from "../output.ts";
import { urlOf } from "./drains-add.ts";

export async function run(input: Input): Promise<number> {
  const url = urlOf("drains:remove URL|TOKEN", input);
  const client = new Client();
  const app = await appOf(input, client.platform);
  const path = `/apps/${app}/log-drains/${encodeURIComponent(url)}`;
  const drain = await client.call<{ readonly url: string }>("DELETE", path);
  print(`Successfully removed drain ${drain.url}`);
  return 0;
}
