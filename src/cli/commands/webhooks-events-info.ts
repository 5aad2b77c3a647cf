import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json, print } from "../output.ts";
import { idOf, type WebhookEventJson } from "../webhooks.ts";

export async function run(input: Input): Promise<number> {
  const id = idOf("webhooks:events:info", input);
  const client = new Client();
  const app = await appOf(input, client.platform);
  const event = await client.get<WebhookEventJson>(`/apps/${app}/webhook-events/${id}`);
  if (!input.has("json")) print(`=== ${event.id}\n`);
  json(input.has("json") ? event : event.payload);
  return 0;
}
