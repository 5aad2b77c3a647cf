import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openWorld, type World } from "../../../test/support/api-world.ts";

let world: World;
before(async () => {
  world = await openWorld();
});
after(() => world[Symbol.asyncDispose]());

let number = 0;
const newApp = async () => (await world.deployed(`hooked-${++number}`)).name;
const hook = { include: ["api:release", "dyno"], level: "notify", url: "https://hooks.example.com/in" };
const post = (app: string, body: object) => world.call("POST", `/apps/${app}/webhooks`, { body });

test("webhooks: added with a secret of ours or theirs, listed, shown, changed, removed", async () => {
  const app = await newApp();
  const made = await post(app, hook);
  assert.equal(made.status, 201, made.text);
  assert.deepEqual(
    [made.json.include, made.json.level, made.json.url, made.json.app.name],
    [hook.include, "notify", hook.url, app],
  );
  assert.match(made.headers.get("heroku-webhook-secret") ?? "", /^[0-9a-f]{64}$/);
  assert.ok(!made.text.includes("secret"));
  const theirs = await post(app, { ...hook, level: "sync", secret: "of mine", authorization: "Bearer x" });
  assert.equal(theirs.headers.get("heroku-webhook-secret"), null);
  const path = `/apps/${app}/webhooks/${theirs.json.id}`;
  assert.equal((await world.call("GET", `/apps/${app}/webhooks`)).json.length, 2);
  assert.equal((await world.call("GET", path)).json.level, "sync");
  const changed = await world.call("PATCH", path, {
    body: { include: ["api:app", "api:app"], level: "notify", secret: null },
  });
  assert.deepEqual([changed.status, changed.json.include, changed.json.level], [200, ["api:app"], "notify"]);
  const stored = await world.store.webhooks.byId(theirs.json.id);
  assert.deepEqual([stored?.secret, stored?.authorization], ["of mine", "Bearer x"]);
  assert.equal((await world.call("DELETE", path)).json.id, theirs.json.id);
  assert.deepEqual([(await world.call("DELETE", path)).status, (await world.call("GET", path)).status], [404, 404]);
  const elsewhere = await newApp();
  assert.equal((await world.call("GET", `/apps/${elsewhere}/webhooks/${made.json.id}`)).status, 404);
});

test("what cannot be told, or cannot be sent, is refused; so is an eleventh webhook", async () => {
  const app = await newApp();
  const refused = async (body: object, why: RegExp) => {
    const answer = await post(app, { ...hook, ...body });
    assert.equal(answer.status, 422, answer.text);
    assert.match(answer.json.message, why);
  };
  await refused({ include: [] }, /Include must not be empty: name some of api:addon,/);
  await refused({ include: ["api:app", "api:everything"] }, /Include "api:everything" is unknown/);
  await refused({ level: "loud" }, /Invalid parameters/);
  await refused({ url: "syslog://h" }, /Url is invalid/);
  await refused({ url: "https://10.0.0.1/" }, /refused by the network rules/);
  await refused({ authorization: "x\r\nInjected: 1" }, /Authorization is sent as a header/);
  await refused({ secret: "" }, /Secret must have/);
  assert.equal((await world.call("GET", `/apps/${app}/webhooks`)).json.length, 0);
  for (let n = 0; n < 10; n++) assert.equal((await post(app, hook)).status, 201);
  await refused({}, /10 webhooks already/);
});

test("events and deliveries: listed as the official command asks for them, with the caller as the actor", async () => {
  const app = await newApp();
  const id = (await world.store.apps.find(app))?.id ?? "";
  await post(app, { ...hook, include: ["api:app"], level: "sync" });
  await world.call("PATCH", `/apps/${app}`, { body: { maintenance: true } });
  const [change] = await world.store.webhooks.noted(10);
  assert.ok(change);
  assert.deepEqual([change.appId, change.kind, change.actorId], [id, "apps", world.user.id]);
  const payload = {
    action: "update",
    actor: { email: "owner@example.com", id: world.user.id },
    data: {},
    previous_data: {},
    published_at: "2026-01-02T03:04:05.006Z",
    resource: "app",
    sequence: null,
    version: "3",
  };
  const news = [1, 2, 3].map(() => ({ include: "api:app", payload }) as const);
  await world.store.webhooks.publish(change, news);
  const path = `/apps/${app}/webhook-deliveries`;
  const newest = await world.call("GET", path, { headers: { Range: "seq ..; order=desc,max=2" } });
  assert.deepEqual([newest.status, newest.json.length], [206, 2]);
  assert.match(newest.headers.get("next-range") ?? "", /^seq \]\d+\.\.; max=2, order=desc$/);
  const [delivery] = newest.json;
  assert.deepEqual(
    [delivery.status, delivery.num_attempts, delivery.last_attempt, delivery.webhook.level],
    ["pending", 0, null, "sync"],
  );
  await world.store.webhooks.attempted(
    delivery.id,
    { code: 500, errorClass: "BadStatus", status: "failed", at: 5 },
    { status: "retrying", nextAttemptAt: 10_000 },
  );
  const shown = (await world.call("GET", `${path}/${delivery.id}`)).json;
  assert.deepEqual([shown.status, shown.num_attempts, shown.next_attempt_at], ["retrying", 1, "1970-01-01T00:00:10Z"]);
  assert.deepEqual([shown.last_attempt.code, shown.last_attempt.error_class], [500, "BadStatus"]);
  assert.equal((await world.call("GET", `${path}?eq[status]=retrying`)).json.length, 1);
  assert.equal((await world.call("GET", `${path}?eq[status]=nonsense`)).json.length, 0);
  const events = await world.call("GET", `/apps/${app}/webhook-events`);
  assert.equal(events.json.length, 3);
  const event = await world.call("GET", `/apps/${app}/webhook-events/${delivery.event.id}`);
  assert.deepEqual([event.json.include, event.json.payload.action], ["api:app", "update"]);
  const elsewhere = await newApp();
  assert.equal((await world.call("GET", `/apps/${elsewhere}/webhook-events/${delivery.event.id}`)).status, 404);
  assert.equal((await world.call("GET", `/apps/${elsewhere}/webhook-deliveries/${delivery.id}`)).status, 404);
});
