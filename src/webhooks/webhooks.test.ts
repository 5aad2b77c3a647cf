import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { dynoRecord } from "../../test/support/dyno.ts";
import { eventually } from "../../test/support/eventually.ts";
import { type Got, type HttpReceiver, httpReceiver } from "../../test/support/receivers.ts";
import { makeAuthority } from "../host/certificates.ts";
import { actingAs } from "../lib/acting.ts";
import { type Clock, systemClock } from "../lib/clock.ts";
import { silentLogger } from "../lib/logger.ts";
import { systemRandom } from "../lib/random.ts";
import type { App, User } from "../model/app.ts";
import { NO_MANIFEST } from "../model/app-manifest.ts";
import { PERMISSION_DESCRIPTIONS } from "../model/permission.ts";
import type { WebhookEntity } from "../model/webhook.ts";
import { Outbound } from "../outbound/outbound.ts";
import { openStore } from "../store/sqlite.ts";
import type { Store, Webhook, WebhookSettings } from "../store/store.ts";
import { nextAttemptAt } from "./retries.ts";
import { startWebhooks } from "./webhooks.ts";

/** Retries of seconds come in milliseconds; what is stored of them is the clock's own. */
class QuickClock implements Clock {
  readonly #start = Date.now();
  now(): number {
    return this.#start + (Date.now() - this.#start) * 100;
  }
  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return systemClock.sleep(ms / 100, signal);
  }
}

const KEY = [Buffer.alloc(32, 7)];
const ADDRESSES = {
  webUrl: (name: string) => `http://${name}.localhost/`,
  gitUrl: (name: string) => `http://localhost:5480/${name}.git`,
  hostname: (name: string) => `${name}.localhost`,
  outputUrl: (kind: string, id: string) => `http://localhost:5480/${kind}/${id}`,
};

interface World extends AsyncDisposable {
  readonly store: Store;
  readonly user: User;
  readonly app: App;
  readonly receiver: HttpReceiver;
  hook(include: readonly WebhookEntity[], more?: Partial<WebhookSettings>): Promise<Webhook>;
  start(): void;
  stop(): Promise<void>;
}

async function world(): Promise<World> {
  await using parts = new AsyncDisposableStack();
  const clock = new QuickClock();
  const store = parts.use(await openStore({ path: ":memory:", key: KEY, clock }));
  const user = await store.users.ensure("owner@example.com");
  const app = await store.apps.create({ name: "hooked", ownerId: user.id, stack: "debian-12", domain: "localhost" });
  const receiver = parts.use(await httpReceiver());
  const outbound = new Outbound({ clock: systemClock, mayReach: async (_app, address) => address === "127.0.0.1" });
  let running: AsyncDisposable | undefined;
  const start = () => {
    running = startWebhooks({
      store,
      outbound,
      addresses: ADDRESSES,
      // Deadlines are real, or a busy machine would miss them.
      clock: {
        now: () => clock.now(),
        sleep: (ms, signal) => systemClock.sleep(ms === 10_000 ? 2_000 : ms / 100, signal),
      },
      random: systemRandom,
      logger: silentLogger,
    });
  };
  const stop = async () => running?.[Symbol.asyncDispose]();
  start();
  parts.defer(stop);
  const all = parts.move();
  return {
    store,
    user,
    app,
    receiver,
    start,
    stop,
    hook: (include, more) =>
      store.webhooks.create({
        appId: app.id,
        include,
        level: "notify",
        url: `http://127.0.0.1:${receiver.port}/hook`,
        secret: "secret",
        authorization: null,
        ...more,
      }),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

// oxlint-disable-next-line typescript/no-explicit-any -- tests assert what is in it
const bodyOf = (got: Got | undefined): any => JSON.parse(got?.body ?? "null");
const told = (receiver: HttpReceiver): readonly string[] =>
  receiver.got.map((each) => {
    const { webhook_metadata: meta, action } = bodyOf(each);
    return `${meta.event.include} ${action}`;
  });

test("a change is told as Heroku tells it: signed, with the actor, the data and what they were", async () => {
  await using here = await world();
  const { store, app, user, receiver } = here;
  const other = await store.users.ensure("other@example.com");
  const hook = await here.hook(["api:app"], { authorization: "Bearer of mine" });
  await actingAs(other.id, () => store.apps.update(app.id, { maintenance: true }));
  await eventually(() => receiver.got.length === 1);
  const [got] = receiver.got;
  assert.deepEqual([got?.method, got?.path], ["POST", "/hook"]);
  assert.equal(got?.headers["content-type"], "application/json");
  assert.equal(got?.headers.authorization, "Bearer of mine");
  const signature = createHmac("sha256", "secret")
    .update(got?.body ?? "")
    .digest("base64");
  assert.equal(got?.headers["heroku-webhook-hmac-sha256"], signature);
  const body = bodyOf(got);
  assert.deepEqual(
    [body.action, body.resource, body.version],
    ["update", "app", "application/vnd.heroku+json; version=3"],
  );
  assert.deepEqual(body.actor, { email: "other@example.com", id: other.id });
  assert.deepEqual([body.data.name, body.data.maintenance, body.data.owner.email], ["hooked", true, user.email]);
  assert.equal(body.data.web_url, "http://hooked.localhost/");
  assert.equal(body.previous_data.maintenance, false);
  assert.ok(!("name" in body.previous_data));
  assert.match(body.published_at, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  assert.deepEqual(body.webhook_metadata.webhook, { id: hook.id });
  const [delivery] = await store.webhooks.deliveries(app.id);
  assert.deepEqual(body.webhook_metadata.delivery, { id: delivery?.id });
  assert.equal(body.id, delivery?.event.id);
  await eventually(async () => (await store.webhooks.deliveries(app.id))[0]?.status === "succeeded");
  const [event] = await store.webhooks.events(app.id);
  assert.equal(event?.payload["resource"], "app");
});

test("each entity that can change here is told, to those who asked for it; config vars are in nothing", async () => {
  await using here = await world();
  const { store, app, user, receiver } = here;
  await here.hook(["api:app", "api:build", "api:domain", "api:dyno", "api:formation", "api:release", "dyno"]);
  await store.config.change(app.id, { PASSWORD: "very-secret" });
  const build = await store.builds.create({ appId: app.id, userId: user.id, commit: "abc" });
  const slug = await store.slugs.create({
    appId: app.id,
    digest: "0".repeat(64),
    sizeBytes: 1,
    processTypes: { web: "node x" },
    stack: "debian-12",
    commit: "abc",
    buildpackDescription: null,
    manifest: NO_MANIFEST,
  });
  const made = {
    appId: app.id,
    slugId: slug.id,
    description: "Deploy abc",
    userId: user.id,
    status: "pending",
  } as const;
  const release = await store.releases.create(made);
  await store.builds.update(build.id, { status: "succeeded", slugId: slug.id, releaseId: release.id });
  await store.releases.setStatus(release.id, "succeeded");
  await store.apps.update(app.id, { currentReleaseId: release.id, releasedAt: 5 });
  await store.formation.sync(app.id, ["web"]);
  await store.formation.change(app.id, [{ type: "web", quantity: 3 }]);
  const domain = await store.domains.add({ appId: app.id, hostname: "www.example.com", kind: "custom" });
  await store.domains.remove(domain.id);
  const dyno = dynoRecord(
    {
      id: systemRandom.uuid(),
      appId: app.id,
      name: "web.1",
      type: "web",
      releaseId: release.id,
      size: "Basic",
      command: "node x",
      port: null,
    },
    1,
  );
  await store.dynos.create({ ...dyno, state: "starting" });
  await store.dynos.update(dyno.id, { port: 5 });
  await store.dynos.update(dyno.id, { state: "up" });
  await store.dynos.remove(dyno.id);
  const build2 = dynoRecord(
    {
      id: systemRandom.uuid(),
      appId: app.id,
      name: "build.1",
      type: "build",
      releaseId: release.id,
      size: "Basic",
      command: "x",
      port: null,
    },
    1,
  );
  await store.dynos.create({ ...build2, kind: "build" });
  await store.apps.update(app.id, { name: "renamed" });
  await eventually(() => told(receiver).length >= 17);
  const inOrder = `api:build create, api:release create, api:build update, api:release update, api:app update,
    api:formation create, api:formation update, api:domain create, api:domain destroy, api:dyno create, dyno create,
    api:dyno update, dyno update, api:dyno destroy, dyno destroy, api:domain update, api:app update`;
  assert.deepEqual(told(receiver), inOrder.split(/,\s+/));
  const bodies = receiver.got.map(bodyOf);
  assert.ok(!JSON.stringify(bodies).includes("very-secret"));
  const of = (include: string, action: string) =>
    bodies.find((each) => each.webhook_metadata.event.include === include && each.action === action);
  assert.deepEqual(of("api:build", "update").data.release, { id: release.id, version: release.version });
  assert.equal(of("api:build", "update").previous_data.status, "pending");
  assert.deepEqual(
    [of("api:formation", "update").data.quantity, of("api:formation", "update").previous_data.quantity],
    [3, 1],
  );
  assert.equal(of("api:formation", "update").data.command, "node x");
  assert.deepEqual([of("dyno", "update").data.state, of("dyno", "update").previous_data.state], ["up", "starting"]);
  assert.equal(of("api:domain", "destroy").data.hostname, "www.example.com");
});

test("collaborators who come, change and go are told, by whom they were made", async () => {
  await using here = await world();
  const { store, app, user, receiver } = here;
  const other = await store.users.ensure("other@example.com");
  await here.hook(["api:collaborator"]);
  await actingAs(user.id, async () => {
    const made = await store.collaborators.add({ appId: app.id, userId: other.id, permissions: ["view"] });
    await store.collaborators.setPermissions(made.id, ["view", "deploy"]);
    await store.collaborators.remove(made.id);
  });
  await eventually(() => receiver.got.length === 3);
  assert.deepEqual(
    told(receiver),
    ["create", "update", "destroy"].map((each) => `api:collaborator ${each}`),
  );
  const update = bodyOf(receiver.got[1]);
  assert.deepEqual([update.actor.email, update.data.user.email], ["owner@example.com", "other@example.com"]);
  assert.deepEqual(
    [update.data.permissions.length, update.previous_data.permissions],
    [2, [{ name: "view", description: PERMISSION_DESCRIPTIONS.view }]],
  );
});

test("certificates are told of, and never their keys", async () => {
  await using here = await world();
  const { store, app, receiver } = here;
  await here.hook(["api:sni-endpoint"]);
  const [first, second] = [await makeAuthority("one", Date.now()), await makeAuthority("two", Date.now())];
  const pair = (chain: string) => ({ isAutomatic: false, chain, key: "very-secret" });
  const made = await store.certificates.create({ appId: app.id, ...pair(first.certificate) });
  await store.certificates.update(made.id, pair(second.certificate));
  await store.certificates.remove(made.id);
  await eventually(() => receiver.got.length === 3);
  assert.deepEqual(
    told(receiver),
    ["create", "update", "destroy"].map((each) => `api:sni-endpoint ${each}`),
  );
  const update = bodyOf(receiver.got[1]);
  assert.deepEqual(
    [update.data.certificate_chain, update.previous_data.certificate_chain],
    [second.certificate, first.certificate],
  );
  assert.notEqual(update.data.ssl_cert.id, update.previous_data.ssl_cert.id);
  assert.ok(!receiver.got.some(({ body }) => body.includes("very-secret")));
});

test("a change that is rolled back is told nobody; one of an app without a webhook leaves nothing", async () => {
  await using here = await world();
  const { store, app, user, receiver } = here;
  await here.hook(["api:domain"]);
  const failing = store.transaction(async (inside) => {
    await inside.domains.add({ appId: app.id, hostname: "never.example.com", kind: "custom" });
    throw new Error("no");
  });
  await assert.rejects(failing);
  const other = await store.apps.create({ name: "other", ownerId: user.id, stack: "debian-12", domain: "localhost" });
  await store.domains.add({ appId: other.id, hostname: "other.example.com", kind: "custom" });
  await store.domains.add({ appId: app.id, hostname: "yes.example.com", kind: "custom" });
  await eventually(() => receiver.got.length > 0);
  assert.deepEqual(
    receiver.got.map((each) => bodyOf(each).data.hostname),
    ["yes.example.com"],
  );
  assert.deepEqual(await store.webhooks.events(other.id), []);
});

test("notify is tried once, sync again and again; each try is counted and says how it went", async () => {
  await using here = await world();
  const { store, app, receiver } = here;
  await here.hook(["api:app"]);
  receiver.answers = [500];
  await store.apps.update(app.id, { maintenance: true });
  const newest = async () => (await store.webhooks.deliveries(app.id))[0];
  await eventually(async () => (await newest())?.status === "failed");
  const once = await newest();
  assert.deepEqual([once?.attempts, once?.nextAttemptAt, once?.lastAttempt?.code], [1, null, 500]);
  await here.stop();
  for (const { id } of await store.webhooks.list(app.id)) await store.webhooks.remove(id);
  assert.deepEqual(await store.webhooks.deliveries(app.id), [], "they go with it");
  await here.hook(["api:app"], { level: "sync" });
  here.start();
  receiver.answers = [500, "break", 302];
  const before = receiver.got.length;
  await store.apps.update(app.id, { maintenance: false });
  await eventually(async () => (await newest())?.status === "succeeded");
  const last = await newest();
  assert.deepEqual(
    [last?.attempts, last?.nextAttemptAt, last?.lastAttempt?.code, last?.lastAttempt?.errorClass],
    [4, null, 200, null],
  );
  const tries = receiver.got.slice(before).map(bodyOf);
  assert.equal(new Set(tries.map((each) => each.webhook_metadata.delivery.id)).size, 1);
  assert.equal(new Set(tries.map((each) => each.webhook_metadata.attempt.id)).size, 4);
});

test("sync gives up after three days; the waits grow to an hour", () => {
  const delivery = { level: "sync", createdAt: 0 } as const;
  const wait = (attempts: number, now: number) =>
    (nextAttemptAt({ ...delivery, attempts }, now, systemRandom) ?? 0) - now;
  for (const [attempts, most] of [
    [1, 10_000],
    [2, 20_000],
    [30, 3_600_000],
  ] as const) {
    assert.ok(wait(attempts, 5) >= most / 2 && wait(attempts, 5) <= most, `${attempts}`);
  }
  assert.equal(nextAttemptAt({ ...delivery, attempts: 90 }, 72 * 3600 * 1000, systemRandom), null);
  assert.equal(nextAttemptAt({ ...delivery, level: "notify", attempts: 1 }, 1, systemRandom), null);
});

test("what was to be told when the daemon died is told by the next one; one webhook that hangs holds up no other", async () => {
  await using here = await world();
  const { store, app, receiver } = here;
  await using silent = await httpReceiver();
  await here.stop();
  await here.hook(["api:app"], { url: `http://127.0.0.1:${silent.port}/` });
  await here.hook(["api:app"]);
  silent.answers = ["hang"];
  await store.apps.update(app.id, { maintenance: true }); // acknowledged, and nobody is there
  assert.deepEqual(await store.webhooks.events(app.id), []);
  here.start();
  await eventually(() => receiver.got.length === 1 && silent.got.length === 1);
  const statuses = async () => (await store.webhooks.deliveries(app.id)).map(({ status }) => status).toSorted();
  await eventually(async () => (await statuses()).join() === "pending,succeeded");
  await here.stop(); // in the middle of a try
  here.start();
  await eventually(async () => (await statuses()).every((each) => each === "succeeded"));
  assert.equal(silent.got.length, 2, "at least once");
});

test("an app's end is told, and then nothing is left of its webhooks; events are kept in bounds", async () => {
  await using here = await world();
  const { store, app, receiver } = here;
  const hook = await here.hook(["api:app", "api:domain", "api:release"]);
  await store.apps.remove(app.id);
  await eventually(() => receiver.got.length > 0);
  assert.deepEqual(told(receiver), ["api:app destroy"], "what goes with it is not told one by one");
  assert.equal(bodyOf(receiver.got[0]).data.name, "hooked");
  await eventually(async () => (await store.webhooks.deliveries(app.id))[0]?.status === "succeeded");
  await store.webhooks.sweep(0);
  assert.equal(await store.webhooks.byId(hook.id), undefined);
  assert.deepEqual(await store.webhooks.events(app.id), []);
});
