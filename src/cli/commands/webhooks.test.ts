import assert from "node:assert/strict";
import { test } from "node:test";
import { Input, UsageError } from "../command.ts";
import { bodyOf, type DeliveryJson, idOf } from "../webhooks.ts";
import { format as formatDrains } from "./drains.ts";
import { urlOf } from "./drains-add.ts";
import { format as formatWebhooks } from "./webhooks.ts";
import { format as formatDeliveries } from "./webhooks-deliveries.ts";
import { format as formatDelivery } from "./webhooks-deliveries-info.ts";
import { format as formatEvents } from "./webhooks-events.ts";
import { format as formatWebhook } from "./webhooks-info.ts";

const given = (values: Readonly<Record<string, string>>, ...positionals: readonly string[]) =>
  new Input(positionals, new Map(Object.entries(values)));

test("drains: as the official command shows them; without any, nothing", () => {
  assert.deepEqual(formatDrains([]), []);
  const drain = { url: "syslog://logs.example.com:514", token: "d.1" };
  assert.deepEqual(formatDrains([drain]), ["=== Drains", "", "syslog://logs.example.com:514 (d.1)"]);
  assert.equal(urlOf("drains:add URL", given({}, "https://h")), "https://h");
  assert.throws(() => urlOf("drains:add URL", given({})), UsageError);
  assert.throws(() => urlOf("drains:add URL", given({}, "https://h", "more")), UsageError);
});

test("webhooks: what is asked for, and what is missing", () => {
  const flags = { include: "api:release, dyno", level: "sync", url: "https://h" };
  const body = { include: ["api:release", "dyno"], level: "sync", url: "https://h" };
  assert.deepEqual(bodyOf("webhooks:add", given(flags), ["include", "level", "url"]), body);
  assert.throws(
    () => bodyOf("webhooks:add", given({ level: "sync" }), ["include", "level", "url"]),
    /--include, --url/,
  );
  assert.deepEqual(bodyOf("webhooks:update", given({ secret: "s" }, "id"), []), { secret: "s" });
  assert.equal(idOf("webhooks:info", given({}, "a/b")), "a%2Fb");
  assert.throws(() => idOf("webhooks:info", given({})), UsageError);
});

test("webhooks and their deliveries as tables", () => {
  const common = { include: ["api:app", "dyno"], level: "notify", url: "https://h/hook" };
  const hook = { ...common, id: "h1", created_at: "2026-01-02T03:04:05Z" };
  const later = { ...common, id: "h0", created_at: "2026-01-02T03:04:06Z" };
  assert.deepEqual(formatWebhooks("hello", []), ["hello has no webhooks", "Use stator webhooks:add to add one."]);
  assert.deepEqual(formatWebhooks("hello", [later, hook]), [
    "  Webhook ID   URL              Include        Level",
    " ─────────────────────────────────────────────────────",
    "  h1           https://h/hook   api:app,dyno   notify",
    "  h0           https://h/hook   api:app,dyno   notify",
    "",
  ]);
  assert.deepEqual(formatWebhook(hook).slice(2), [
    "Include:    api:app,dyno",
    "Level:      notify",
    "URL:        https://h/hook",
    "Webhook ID: h1",
  ]);
  const delivery = (id: string, more: Partial<DeliveryJson>): DeliveryJson => ({
    id,
    created_at: "2026-01-02T03:04:05Z",
    event: { id: "e1", include: "api:app" },
    webhook: { id: "h1", level: "sync" },
    status: "retrying",
    num_attempts: 2,
    last_attempt: { code: 500, error_class: "BadStatus" },
    next_attempt_at: "2026-01-02T03:05:05Z",
    ...more,
  });
  const newer = delivery("d2", { status: "pending", num_attempts: 0, last_attempt: null, next_attempt_at: null });
  const [, , first, second] = formatDeliveries("hello", [newer, delivery("d1", {})]);
  assert.match(
    first ?? "",
    /^ *d1 +2026-01-02T03:04:05Z +retrying +api:app +sync +2 +500 +BadStatus +2026-01-02T03:05:05Z$/,
  );
  assert.match(second ?? "", /^ *d2 +2026-01-02T03:04:05Z +pending +api:app +sync +0$/);
  assert.deepEqual(formatDeliveries("hello", []), ["hello has no deliveries"]);
  assert.ok(formatDelivery(delivery("d1", {})).includes("Code:         500"));
  assert.ok(!formatDelivery(newer).some((line) => line.startsWith("Code:")));
  const payload = { resource: "app", action: "update", published_at: "2026-01-02T03:04:05.006Z" };
  assert.equal(
    formatEvents("hello", [{ id: "e1", created_at: "", payload }])[2],
    "  e1         app        update   2026-01-02T03:04:05.006Z",
  );
});
