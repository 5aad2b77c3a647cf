import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json, keyed, print } from "../output.ts";
import { type DeliveryJson, idOf, type WebhookEventJson } from "../webhooks.ts";

export async function run(input: Input): Promise<number> {
  const id = idOf("webhooks:deliveries:info", input);
  const client = new Client();
  const app = await appOf(input, client.platform);
  const delivery = await client.get<DeliveryJson>(`/apps/${app}/webhook-deliveries/${id}`);
  const event = await client.get<WebhookEventJson>(`/apps/${app}/webhook-events/${delivery.event.id}`);
  if (input.has("json")) json({ ...delivery, event });
  else {
    for (const line of format(delivery)) print(line);
    json(event.payload);
  }
  return 0;
}

export function format(delivery: DeliveryJson): readonly string[] {
  const { id, created_at, event, webhook, status, num_attempts, last_attempt, next_attempt_at } = delivery;
  const facts: readonly (readonly [string, string | number | null | undefined])[] = [
    ["Created", created_at],
    ["Event", event.id],
    ["Webhook", webhook.id],
    ["Status", status],
    ["Include", event.include],
    ["Level", webhook.level],
    ["Attempts", num_attempts],
    ["Code", last_attempt?.code],
    ["Error", last_attempt?.error_class],
    ["Next Attempt", next_attempt_at],
  ];
  const known = facts.flatMap(([key, value]): [string, string][] =>
    value === null || value === undefined ? [] : [[key, String(value)]],
  );
  return [`=== ${id}`, "", ...keyed(known), "=== Event Payload", ""];
}
