import type { Instant } from "../lib/clock.ts";
import type { Random } from "../lib/random.ts";
import type { WebhookDelivery } from "../store/store.ts";

const FIRST_MS = 10_000;
const LONGEST_MS = 3600 * 1000;
/** A `sync` webhook is told for so long after the event. */
const GIVEN_UP_MS = 72 * 3600 * 1000;

/** When a delivery that failed is tried again; null: never. `attempts` counts the one that failed. */
export function nextAttemptAt(
  { level, attempts, createdAt }: Pick<WebhookDelivery, "level" | "attempts" | "createdAt">,
  now: Instant,
  random: Random,
): Instant | null {
  if (level === "notify" || now - createdAt >= GIVEN_UP_MS) return null;
  const most = Math.min(FIRST_MS * 2 ** Math.min(attempts - 1, 20), LONGEST_MS);
  return now + most / 2 + random.below(most / 2);
}
