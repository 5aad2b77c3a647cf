import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json, marked, print, titled } from "../output.ts";
import type { WebhookEventJson } from "../webhooks.ts";

const MOST = 1000;

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const all = { Range: `created_at ..; max=${MOST}` };
  const events = await client.get<readonly WebhookEventJson[]>(`/apps/${app}/webhook-events`, all);
  if (input.has("json")) json(events);
  else for (const line of format(app, events)) print(line);
  return 0;
}

export function format(app: string, events: readonly WebhookEventJson[]): readonly string[] {
  if (events.length === 0) return [`${marked(app)} has no events`];
  const rows = events.map(({ id, payload }) => [id, payload.resource, payload.action, payload.published_at]);
  return titled([["Event ID", "Resource", "Action", "Published At"], ...rows]);
}
