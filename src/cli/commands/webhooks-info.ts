import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json, keyed, print } from "../output.ts";
import { idOf, type WebhookJson } from "../webhooks.ts";

export async function run(input: Input): Promise<number> {
  const id = idOf("webhooks:info", input);
  const client = new Client();
  const app = await appOf(input, client.platform);
  const webhook = await client.get<WebhookJson>(`/apps/${app}/webhooks/${id}`);
  if (input.has("json")) json(webhook);
  else for (const line of format(webhook)) print(line);
  return 0;
}

export function format({ id, include, level, url }: WebhookJson): readonly string[] {
  const facts = [
    ["Include", include.join(",")],
    ["Level", level],
    ["URL", url],
    ["Webhook ID", id],
  ] as const;
  return [`=== ${id}`, "", ...keyed(facts)];
}
