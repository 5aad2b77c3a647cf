import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json, marked, print, titled } from "../output.ts";
import type { WebhookJson } from "../webhooks.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const webhooks = await client.get<readonly WebhookJson[]>(`/apps/${app}/webhooks`);
  if (input.has("json")) json(webhooks);
  else for (const line of format(app, webhooks)) print(line);
  return 0;
}

export function format(app: string, webhooks: readonly WebhookJson[]): readonly string[] {
  if (webhooks.length === 0) return [`${marked(app)} has no webhooks`, "Use stator webhooks:add to add one."];
  const sorted = webhooks.toSorted((one, other) => Date.parse(one.created_at) - Date.parse(other.created_at));
  const rows = sorted.map(({ id, url, include, level }) => [id, url, include.join(","), level]);
  return titled([["Webhook ID", "URL", "Include", "Level"], ...rows]);
}
