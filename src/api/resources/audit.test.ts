import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openWorld, type World } from "../../../test/support/api-world.ts";
import { SimClock } from "../../lib/sim-clock.ts";

/** The audit log: what is in it, what is not, and when it is there. */
let world: World;
let clock: SimClock;
before(async () => {
  clock = new SimClock(1_700_000_000_000);
  world = await openWorld({ clock });
});
after(() => world[Symbol.asyncDispose]());

let number = 0;
const newApp = () => world.deployed(`app-${++number}`);

interface Event {
  readonly type: string;
  readonly action: string;
  readonly outcome: string;
  readonly actor: { readonly email: string } | null;
  readonly app: { readonly id: string; readonly name: string } | null;
  readonly data: Readonly<Record<string, unknown>>;
  readonly sequence: number;
  readonly request: { readonly ip_address: string; readonly path: string; readonly user_agent: string };
}

const eventsOf = async (app: string) => (await world.call("GET", `/apps/${app}/audit-events`)).json as Event[];
const everything = async () => (await world.call("GET", "/audit-events", newest(1000))).json as Event[];
const newest = (max: number) => ({ headers: { Range: `sequence ..; order=desc,max=${max}` } });
const inWords = ({ type, action, outcome, actor }: Event) => `${actor?.email} ${type} ${action} ${outcome}`;

test("a change and a read of config vars: who, what, from where; the names of the keys and no value", async () => {
  const { name, id } = await newApp();
  const path = `/apps/${name}/config-vars`;
  await world.call("PATCH", path, { body: { TOKEN: "a-secret-value" }, headers: { "User-Agent": "heroku-cli/11" } });
  await world.call("GET", path);
  await world.call("GET", `/apps/${name}`);
  const events = await eventsOf(name);
  assert.deepEqual(events.map(inWords), [
    "owner@example.com config-var update done",
    "owner@example.com config-var read done",
  ]);
  const [change] = events;
  assert.deepEqual(change?.app, { id, name });
  assert.deepEqual(change?.data, { fields: ["TOKEN"] });
  assert.deepEqual(
    [change?.request.ip_address, change?.request.path, change?.request.user_agent],
    ["127.0.0.1", path, "heroku-cli/11"],
  );
  assert.ok(!JSON.stringify(events).includes("a-secret-value"));
});

test("an entry is in the transaction of its change: with it or not at all", async () => {
  const { name, id } = await newApp();
  const before = (await world.store.audit.list({ appId: id, order: "asc", limit: 10 })).length;
  assert.equal(before, 0);
  const calls = [
    world.call("PATCH", `/apps/${name}/config-vars`, { body: { "NOT-A-KEY": "x" } }),
    world.call("POST", `/apps/${name}/domains`, { body: { hostname: "not a host" } }),
    world.call("DELETE", `/apps/${name}/domains/nothing`),
  ];
  for (const { status } of await Promise.all(calls)) assert.ok(status >= 400);
  assert.deepEqual(await eventsOf(name), []);
  // Not through the API, which writes what waits first: a change is there once it was answered.
  await world.call("PATCH", `/apps/${name}`, { body: { maintenance: true } });
  const [event, ...more] = await world.store.audit.list({ appId: id, order: "asc", limit: 10 });
  assert.deepEqual(
    [event?.type, event?.action, event?.data, more],
    ["app", "update", { fields: ["maintenance"], maintenance: true }, []],
  );
});

test("a transaction that failed takes no entry with it, and what follows in the same call does", async () => {
  const { store } = world;
  const { id, name } = await newApp();
  const event = { ...EVENT, app: { id, name } };
  const failing = store.audited(
    () => [event],
    () =>
      store.transaction(async (inside) => {
        await inside.apps.update(id, { maintenance: true });
        throw new Error("on purpose");
      }),
  );
  await assert.rejects(failing, /on purpose/);
  assert.deepEqual(await store.audit.list({ appId: id, order: "asc", limit: 10 }), []);
  await store.audited(
    () => [event],
    async () => {
      await store.apps.update(id, { name: "Not A Name" }).catch(() => {});
      await store.apps.update(id, { maintenance: true });
      await store.apps.update(id, { maintenance: false });
    },
  );
  await store.audited(
    () => [{ ...event, type: "nothing" }],
    async () => {},
  );
  const all = await store.audit.list({ appId: id, order: "asc", limit: 10 });
  assert.deepEqual(
    all.map(({ type }) => type),
    ["app", "nothing"],
  );
});

test("who may not is told of as refused: by a permission, a scope, or the operators' routes", async () => {
  const { name } = await newApp();
  const friend = await world.store.users.ensure("friend@example.com");
  const fresh = { userId: friend.id, description: "", scopes: ["global"], expiresAt: null };
  const { text: token } = await world.store.tokens.create(fresh);
  await world.call("POST", `/apps/${name}/collaborators`, {
    body: { user: friend.email, permissions: ["view", "operate"] },
  });
  await world.call("GET", `/apps/${name}/config-vars`, { token });
  await world.call("PATCH", `/apps/${name}`, { token, body: { name: "stolen" } });
  await world.call("GET", "/stator/users", { token });
  assert.equal((await world.call("GET", `/apps/${name}/audit-events`, { token })).status, 403);
  assert.equal((await world.call("GET", "/audit-events", { token })).status, 403);
  const words = (await everything())
    .map(inWords)
    .filter((line) => line.includes("friend@") && line.includes("refused"));
  assert.deepEqual(words.toSorted(), [
    "friend@example.com app update refused",
    "friend@example.com audit-event read refused",
    "friend@example.com audit-event read refused",
    "friend@example.com config-var read refused",
    "friend@example.com user read refused",
  ]);
});

test("what tells of an app outlives it; git, one-off dynos, log sessions, tokens and users are told of", async () => {
  const { name, id } = await newApp();
  await world.call("POST", `/apps/${name}/dynos`, { body: { command: "rake db:drop" } });
  await world.call("DELETE", `/apps/${name}/dynos`);
  await world.call("POST", `/apps/${name}/log-sessions`, { body: {} });
  await world.call("GET", `/${name}.git/info/refs?service=git-receive-pack`);
  const type = { "Content-Type": "application/x-git-receive-pack-request" };
  await world.call("POST", `/${name}.git/git-receive-pack`, { body: "0000", headers: type });
  await world.call("POST", `/apps/${name}/collaborators`, { body: { user: "friend@example.com" } });
  await world.call("DELETE", `/apps/${name}`);
  const own = (await everything()).filter((event) => event.app?.id === id).toReversed();
  assert.deepEqual(own.map(({ type: kind, action }) => `${kind} ${action}`).toSorted(), [
    "app destroy",
    "collaborator create",
    "dyno restart",
    "dyno run",
    "git push",
    "log read",
  ]);
  const data = (kind: string) => own.find((event) => event.type === kind)?.data;
  assert.deepEqual(data("dyno") && own.find(({ action }) => action === "run")?.data["command"], "rake db:drop");
  assert.deepEqual(data("collaborator")?.["user"], "friend@example.com");
  await world.call("POST", "/oauth/authorizations", { body: { description: "ci", scope: ["read"] } });
  await world.call("POST", "/stator/users", { body: { email: "late@example.com" } });
  const [user, token] = await everything();
  assert.deepEqual([user?.type, user?.action, user?.data["email"]], ["user", "create", "late@example.com"]);
  assert.deepEqual([token?.type, token?.data["scope"]], ["authorization", ["read"]]);
});

test("what changes an app by a path that does not name it is in that app's log: who made it, couplings, promotions, drains, owners", async () => {
  const { name, id } = await newApp();
  const target = await newApp();
  const made = async (method: string, path: string, body?: object, token?: string) => {
    const { status, json, text } = await world.call(method, path, {
      ...(body && { body }),
      ...(token !== undefined && { token }),
    });
    assert.ok(status < 300, `${method} ${path}: ${text}`);
    return json;
  };
  const heir = await world.store.users.ensure("heir@example.com");
  const fresh = { userId: heir.id, description: "", scopes: ["global"], expiresAt: null };
  const { text: token } = await world.store.tokens.create(fresh);
  await made("POST", "/apps", { name: "made-by-api" });
  const pipeline = await made("POST", "/pipelines", { name: "audited" });
  const coupling = await made("POST", "/pipeline-couplings", { app: id, pipeline: pipeline.id, stage: "staging" });
  await made("POST", "/pipeline-couplings", { app: target.id, pipeline: pipeline.id, stage: "production" });
  await made("PATCH", `/pipeline-couplings/${coupling.id}`, { stage: "review" });
  const places = { source: { app: { id } }, targets: [{ app: { id: target.id } }] };
  await made("POST", "/pipeline-promotions", { pipeline: { id: pipeline.id }, ...places });
  await made("DELETE", `/pipeline-couplings/${coupling.id}`);
  await made("DELETE", `/pipelines/${pipeline.id}`);
  const exporter = { type: "otlphttp", endpoint: "https://127.0.0.1/", headers: {} };
  const drain = await made("POST", "/telemetry-drains", { owner: { id, type: "app" }, signals: ["logs"], exporter });
  await made("PATCH", `/telemetry-drains/${drain.id}`, { signals: ["logs"] });
  await made("DELETE", `/telemetry-drains/${drain.id}`);
  for (const state of ["declined", "accepted"]) {
    const transfer = await made("POST", "/account/app-transfers", { app: id, recipient: heir.email });
    await made("PATCH", `/account/app-transfers/${transfer.id}`, { state }, token);
  }
  await made("DELETE", `/apps/${name}/collaborators/owner@example.com`, undefined, token);
  const logOf = async (app: string, by?: string) => {
    const { json } = await world.call("GET", `/apps/${app}/audit-events`, { ...(by !== undefined && { token: by }) });
    return (json as Event[]).map(({ type, action }) => `${type} ${action}`);
  };
  assert.deepEqual(await logOf("made-by-api"), ["app create"]);
  assert.deepEqual(await logOf(target.id), [
    "pipeline-coupling create",
    "pipeline-promotion create",
    "pipeline destroy",
  ]);
  assert.deepEqual(await logOf(id, token), [
    "pipeline-coupling create",
    "pipeline-coupling update",
    "pipeline-promotion create",
    "pipeline-coupling destroy",
    "telemetry-drain create",
    "telemetry-drain update",
    "telemetry-drain destroy",
    "app-transfer create",
    "app-transfer update",
    "app-transfer create",
    "app-transfer update",
    "collaborator destroy",
  ]);
  const promotion = (await eventsOf(target.id)).find(({ type }) => type === "pipeline-promotion");
  assert.deepEqual([promotion?.data["from"], promotion?.data["pipeline"]], [name, "audited"]);
  await made("DELETE", `/stator/users/${heir.email}`, { apps_to: "owner@example.com" });
  const last = (await eventsOf(id)).at(-1);
  assert.deepEqual([last?.type, last?.data["apps_to"]], ["user", "owner@example.com"]);
});

test("who may not, in an app that the path does not name, is in its log as refused, of reads too", async () => {
  const { name, id } = await newApp();
  const viewer = await world.store.users.ensure("viewer@example.com");
  const fresh = { userId: viewer.id, description: "", scopes: ["global"], expiresAt: null };
  const { text: token } = await world.store.tokens.create(fresh);
  await world.call("POST", `/apps/${name}/collaborators`, { body: { user: viewer.email, permissions: ["view"] } });
  const exporter = { type: "otlphttp", endpoint: "https://127.0.0.1/", headers: {} };
  const body = { owner: { id, type: "app" }, signals: ["logs"], exporter };
  const drain = (await world.call("POST", "/telemetry-drains", { body })).json;
  assert.equal((await world.call("POST", "/telemetry-drains", { body, token })).status, 403);
  assert.equal((await world.call("GET", `/telemetry-drains/${drain.id}`, { token })).status, 403);
  const refusals = (await eventsOf(id)).filter(({ outcome }) => outcome === "refused");
  assert.deepEqual(refusals.map(inWords), [
    "viewer@example.com telemetry-drain create refused",
    "viewer@example.com telemetry-drain read refused",
  ]);
});

test("pages: by sequence, from either end; a range that is none is 416", async () => {
  const { name } = await newApp();
  for (const maintenance of [true, false, true, false, true])
    await world.call("PATCH", `/apps/${name}`, { body: { maintenance } });
  const page = async (range: string) => {
    const path = `/apps/${name}/audit-events`;
    const { status, json, headers } = await world.call("GET", path, { headers: { Range: range } });
    return { status, sequences: (json as Event[]).map(({ sequence }) => sequence), next: headers.get("next-range") };
  };
  const all = await page("");
  assert.deepEqual([all.status, all.sequences.length, all.next], [200, 5, null]);
  for (const order of ["asc", "desc"]) {
    const seen: number[] = [];
    let range: string | null = `sequence ..; max=2, order=${order}`;
    for (let pages = 0; range !== null; pages++) {
      assert.ok(pages < 4, "it ends");
      const { sequences, next, status } = await page(range);
      assert.equal(status, next === null ? 200 : 206);
      seen.push(...sequences);
      range = next;
    }
    assert.deepEqual(seen, order === "asc" ? all.sequences : all.sequences.toReversed());
  }
  const [first = 0, second = 0, third = 0] = all.sequences;
  assert.deepEqual((await page(`sequence ${first}..${third}[`)).sequences, [first, second]);
  assert.equal(
    (await world.call("GET", `/apps/${name}/audit-events`, { headers: { Range: "sequence x..y" } })).status,
    416,
  );
});

test("reads are written within a second, all together; entries go when they are old, a part of them at a time", async () => {
  const { name, id } = await newApp();
  await Promise.all(Array.from({ length: 20 }, () => world.call("GET", `/apps/${name}/config-vars`)));
  const kept = () => world.store.audit.list({ appId: id, order: "asc", limit: 100 });
  assert.deepEqual(await kept(), []);
  await clock.advance(1000);
  assert.equal((await kept()).length, 20);
  assert.equal(await world.store.audit.prune(clock.now() - 400 * 86_400_000), 0);
  clock.jump(400 * 86_400_000 + 2000);
  await clock.advance(3_600_000);
  assert.deepEqual(await kept(), []);
});

const EVENT = {
  at: 1_700_000_000_000,
  actor: null,
  tokenId: null,
  type: "app",
  action: "update",
  outcome: "done",
  method: "PATCH",
  path: "/",
  address: null,
  agent: null,
  requestId: "r",
  data: {},
} as const;
