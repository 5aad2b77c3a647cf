import { PlatformError } from "./errors.ts";

/** What a webhook may be told of (Heroku's list). */
export const WEBHOOK_ENTITIES = [
  "api:addon",
  "api:addon-attachment",
  "api:app",
  "api:build",
  "api:collaborator",
  "api:domain",
  "api:dyno",
  "api:formation",
  "api:release",
  "api:sni-endpoint",
  "dyno",
] as const;

export type WebhookEntity = (typeof WEBHOOK_ENTITIES)[number];

/** `notify`: one try. `sync`: until it is taken, for three days at most. */
export const WEBHOOK_LEVELS = ["notify", "sync"] as const;
export type WebhookLevel = (typeof WEBHOOK_LEVELS)[number];

/** Of one app (spec 13). */
export const WEBHOOKS_MAX = 10;
/** Events of an app that are kept, with their deliveries, and for how long. */
export const WEBHOOK_EVENTS_KEPT = 1_000;
export const WEBHOOK_EVENTS_KEPT_MS = 7 * 24 * 3600 * 1000;

/** Each entity once. Throws `invalid_params` for none at all, and for what is no entity. */
export function checkedInclude(include: readonly string[]): readonly WebhookEntity[] {
  const wrong = include.find((each) => !isEntity(each));
  if (wrong !== undefined || include.length === 0) {
    const what =
      wrong === undefined ? "Include must not be empty" : `Include ${JSON.stringify(wrong.slice(0, 80))} is unknown`;
    throw new PlatformError("invalid_params", `${what}: name some of ${WEBHOOK_ENTITIES.join(", ")}.`);
  }
  return [...new Set(include)].filter(isEntity);
}

function isEntity(text: string): text is WebhookEntity {
  return (WEBHOOK_ENTITIES as readonly string[]).includes(text);
}

/** Throws `invalid_params`: for what cannot be a header. */
export function checkAuthorization(text: string): void {
  if (/^[\x20-\x7e]{1,1000}$/.test(text)) return;
  throw new PlatformError(
    "invalid_params",
    "Authorization is sent as a header: 1 to 1000 characters of ASCII, no line ends.",
  );
}

export function checkSecret(text: string): void {
  if (text.length >= 1 && text.length <= 1000) return;
  throw new PlatformError("invalid_params", "Secret must have 1 to 1000 characters.");
}
