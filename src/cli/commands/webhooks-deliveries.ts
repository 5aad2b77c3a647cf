import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json, marked, print, titled, warn } from "../output.ts";
import type { DeliveryJson } from "../webhooks.ts";

const MOST = 1000;

export async function run(input: Input): Promise<number> {
  const status = input.text("status");
  const client = new Client();
  const app = await appOf(input, client.platform);
  const query = status === undefined ? "" : `?eq[status]=${encodeURIComponent(status)}`;
  const newest = { Range: `seq ..; order=desc,max=${MOST}` };
  const deliveries = await client.get<readonly DeliveryJson[]>(`/apps/${app}/webhook-deliveries${query}`, newest);
  if (deliveries.length === MOST) warn(`Only showing the ${MOST} most recent deliveries`);
  if (input.has("json")) json(deliveries);
  else for (const line of format(app, deliveries)) print(line);
  return 0;
}

/** `deliveries` come newest first; people read downwards. */
export function format(app: string, deliveries: readonly DeliveryJson[]): readonly string[] {
  if (deliveries.length === 0) return [`${marked(app)} has no deliveries`];
  const heads = ["Delivery ID", "Created", "Status", "Include", "Level", "Attempts", "Code", "Error", "Next Attempt"];
  return titled([heads, ...deliveries.toReversed().map(rowOf)]);
}

function rowOf(delivery: DeliveryJson): readonly string[] {
  const { id, created_at, status, event, webhook, num_attempts, last_attempt, next_attempt_at } = delivery;
  const code = last_attempt?.code ?? "";
  const error = last_attempt?.error_class ?? "";
  const next = next_attempt_at ?? "";
  return [id, created_at, status, event.include, webhook.level, String(num_attempts), String(code), error, next];
}
