import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openWorld, type World } from "../../../test/support/api-world.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { makeAuthority, makeServerCertificate } from "../../host/certificates.ts";
import { systemClock } from "../../lib/clock.ts";
import { silentLogger } from "../../lib/logger.ts";
import { systemRandom } from "../../lib/random.ts";
import { Outbound } from "../../outbound/outbound.ts";
import { startWebhooks } from "../../webhooks/webhooks.ts";

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

// oxlint-disable-next-line typescript/no-explicit-any -- as JSON comes
type Json = any;

test("platform-api 5: what a webhook is told of a thing is what the API shows of it, field by field", async () => {
  const app = await newApp();
  const path = `/apps/${app}`;
  await using _telling = startTelling();
  const entities = ["app", "build", "collaborator", "domain", "dyno", "formation", "release", "sni-endpoint"];
  await post(app, { ...hook, include: entities.map((entity) => `api:${entity}`) });
  const made = async (to: string, body: object, method = "POST"): Promise<Json> => {
    const { status, json, text } = await world.call(method, `${path}${to}`, { body });
    assert.ok(status < 300, text);
    return json;
  };
  const friend = await world.store.users.ensure("friend@example.com");
  const authority = await makeAuthority("CA", Date.now());
  const pair = await makeServerCertificate(authority, ["www.example.org"], Date.now());
  await made("/collaborators", { user: friend.email, permissions: ["view", "deploy"] });
  await made("/sni-endpoints", { certificate_chain: pair.certificate, private_key: pair.key });
  await made("/domains", { hostname: "www.example.org" }); // bound to the certificate by itself
  await made("/domains", { hostname: "other.example.org" });
  const version_description = "why";
  const source_blob = { url: "https://example.org/a.tgz", version: "v7", version_description };
  await made("/builds", { source_blob, buildpacks: [{ url: "heroku/nodejs" }] });
  await made("/formation/web", { quantity: 2 }, "PATCH");
  await made("/config-vars", { A: "1" }, "PATCH");
  await world.supervision.idle();
  await made("", { maintenance: true }, "PATCH");
  const told = async (): Promise<Json[]> =>
    (await world.store.webhooks.events((await world.store.apps.find(app))?.id ?? "")).map(({ payload }) => payload);
  await eventually(async () => (await told()).some(({ resource }) => resource === "app"));
  const seen = new Set<string>();
  for (const { resource, action, data } of await told()) {
    const list = { app: "", formation: "/formation" }[String(resource)] ?? `/${resource}s`;
    const shown = await world.call("GET", `${path}${list && `${list}/${data.id}`}`);
    if (action === "destroy" || shown.status === 404 || seen.has(`${resource} ${data.id}`)) continue;
    seen.add(`${resource} ${data.id}`); // the newest comes first
    sameFields(data, shown.json, `${resource} ${action}`);
  }
  for (const entity of entities)
    assert.ok(
      [...seen].some((each) => each.startsWith(entity)),
      `${entity} was told of`,
    );
});

/** Where the daemon knows another address than the one that was asked, or what is newer by now. */
const OTHERWISE = new Set(["current", "domains", "output_stream_url", "updated_at"]);

function sameFields(told: Json, shown: Json, where: string): void {
  for (const [key, value] of Object.entries(shown)) {
    assert.ok(Object.hasOwn(told, key), `${where}: ${key} is missing`);
    if (typeof value === "object" && value !== null && !Array.isArray(value))
      sameFields(told[key], value, `${where} ${key}`);
    else if (OTHERWISE.has(key)) assert.equal(typeof told[key], typeof value, `${where}: ${key}`);
    else assert.deepEqual(told[key], value, `${where}: ${key}`);
  }
}

function startTelling() {
  const { store, url } = world;
  return startWebhooks({
    store,
    outbound: new Outbound({ clock: systemClock, mayReach: async () => false }),
    addresses: {
      hostname: (name) => `${name}.localhost`,
      webUrl: (name) => `http://${name}.localhost:8080/`,
      gitUrl: (name) => `${url}/${name}.git`,
      outputUrl: (kind, id) => `${url}/${kind}/${id}`,
    },
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
  });
}
