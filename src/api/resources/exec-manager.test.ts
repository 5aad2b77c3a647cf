import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openWorld, type World } from "../../../test/support/api-world.ts";
import type { Permission } from "../../model/permission.ts";

let world: World;
before(async () => {
  world = await openWorld();
});
after(() => world[Symbol.asyncDispose]());

const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJyuRxdyhz5MbOD8Zdw7YFxPgpgxHtdUNLJiDAMFBYHk";

/** An app with one dyno that is up. */
async function running(name: string) {
  const app = await world.deployed(name);
  const [dyno] = await world.store.dynos.list(app.id);
  assert.ok(dyno);
  await world.store.dynos.update(dyno.id, { state: "up" });
  return { app, dyno };
}
const basic = (app: string, token = world.token) => ({
  Authorization: `Basic ${Buffer.from(`${app}:${token}`).toString("base64")}`,
});
const put = (app: string, dyno: string, body: unknown = { client_key: KEY }, token = world.token) =>
  world.call("PUT", `/api/v2/${dyno}`, { body, headers: basic(app, token) });

/** A collaborator's token. */
async function collaborator(appId: string, permissions: readonly Permission[]): Promise<string> {
  const user = await world.store.users.ensure(`${permissions.join("-")}@example.com`);
  await world.store.collaborators.add({ appId, userId: user.id, permissions });
  const of = { userId: user.id, description: "", scopes: ["global"], expiresAt: null };
  return (await world.store.tokens.create(of)).text;
}

test("spec 3.7: a key is registered for a dyno, and the client told where and as whom to come; the audit log says so", async () => {
  const { app, dyno } = await running("execs");
  assert.deepEqual((await world.call("GET", "/api/v2", { headers: basic(app.name) })).json, [{ dyno_name: "web.1" }]);
  const { status, json } = await put(app.name, "web.1");
  assert.equal(status, 200);
  const name = `tunnel-${world.ssh.registered.length}`;
  assert.deepEqual(json, {
    dyno_ip: "127.0.0.1",
    client_user: name,
    proxy_public_key: "ssh-ed25519 AAAA",
    tunnel_host: "127.91.0.1",
  });
  const { key, tokenId, ...facts } = world.ssh.registered.at(-1) ?? assert.fail();
  assert.deepEqual(facts, { appId: app.id, dynoId: dyno.id, dynoName: "web.1", userId: world.user.id });
  assert.equal(key.toString("base64"), KEY.split(" ")[1]);
  assert.ok(tokenId);
  const events = await world.call("GET", `/apps/${app.id}/audit-events`);
  const told = events.json.find((event: { type: string; action: string }) => event.action === "tunnel");
  assert.deepEqual([told.type, told.app.name, told.data], ["dyno", "execs", { dyno: "web.1" }]);
});

test("who may not deploy, an app that is a stranger's, a dyno that is not up, what is no key: refused", async () => {
  const { app, dyno } = await running("refuses");
  const before = world.ssh.registered.length;
  const viewer = await collaborator(app.id, ["view"]);
  assert.equal((await put(app.name, "web.1", { client_key: KEY }, viewer)).status, 403);
  assert.equal((await put("not-there", "web.1")).json.resource, "app");
  assert.equal((await put(app.name, "web.2")).json.resource, "dyno");
  for (const client_key of ["", "ssh-rsa AAAA", "x".repeat(4_000), `${KEY}\n${KEY}`])
    assert.equal((await put(app.name, "web.1", { client_key })).status, 422, client_key.slice(0, 20));
  assert.equal(
    (await world.call("PUT", "/api/v2/web.1", { body: { client_key: KEY } })).status,
    400,
    "no app is named",
  );
  await world.store.dynos.update(dyno.id, { state: "crashed" });
  assert.equal((await put(app.name, "web.1")).json.resource, "dyno");
  assert.deepEqual((await world.call("GET", "/api/v2", { headers: basic(app.name) })).json, []);
  assert.equal(world.ssh.registered.length, before);
  const deployer = await collaborator(app.id, ["view", "deploy"]);
  await world.store.dynos.update(dyno.id, { state: "up" });
  assert.equal((await put(app.name, "web.1", { client_key: KEY }, deployer)).status, 200);
});

test("the feature is on unless it was turned off, so that the official client restarts nothing", async () => {
  const { app } = await running("switches");
  const path = `/apps/${app.name}/features/runtime-heroku-exec`;
  assert.equal((await world.call("GET", path)).json.enabled, true);
  assert.equal((await world.call("PATCH", path, { body: { enabled: false } })).json.enabled, false);
  const refused = await put(app.name, "web.1");
  assert.deepEqual([refused.status, refused.json.id], [403, "forbidden"]);
  assert.match(refused.json.message, /features:enable runtime-heroku-exec/);
  await world.call("PATCH", path, { body: { enabled: true } });
  assert.equal((await put(app.name, "web.1")).status, 200);
});

test("where SSH cannot come in, the official client is told before it gives up, and the native command is named", async () => {
  const { app } = await running("closed");
  const path = `/apps/${app.name}/features/runtime-heroku-exec`;
  assert.equal((await world.call("GET", path)).headers.get("x-heroku-warning"), null);
  world.ssh.why = "Another program has port 80 of the platform's machine to itself.";
  const { headers } = await world.call("GET", path);
  assert.match(headers.get("x-heroku-warning") ?? "", /Another program has port 80 .*stator ps:exec/);
  const other = await world.call("GET", `/apps/${app.name}/features/preboot`);
  assert.equal(other.headers.get("x-heroku-warning"), null);
  const { status, json } = await put(app.name, "web.1");
  assert.deepEqual([status, json.id], [503, "service_unavailable"]);
  world.ssh.why = null;
});
