import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import ssh2 from "ssh2";
import { openWorld, type World } from "../../../test/support/api-world.ts";
import { eventually } from "../../../test/support/eventually.ts";
import type { Permission } from "../../model/permission.ts";
import { makeKeyPair } from "../../ssh/host-key.ts";

let world: World;
before(async () => {
  world = await openWorld();
});
after(() => world[Symbol.asyncDispose]());

interface AuditJson {
  readonly action: string;
  readonly app: { readonly name: string };
  readonly actor: { readonly email: string };
  readonly data: unknown;
}

const keys = makeKeyPair(ssh2.utils);
const KEY = keys.public.trim();

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

/** What a command of an SSH client says, and its status. Rejects where the client is not let in. */
function ran(username: string, command: string): Promise<[string, number]> {
  const client = new ssh2.Client();
  return new Promise<[string, number]>((resolve, reject) => {
    client.on("error", reject);
    client.on("ready", () =>
      client.exec(command, (error, channel) => {
        if (error) return reject(error);
        let said = "";
        channel.on("data", (chunk: Buffer) => {
          said += chunk.toString();
        });
        return channel.on("close", (status: number) => resolve([said, status]));
      }),
    );
    client.connect({ host: "127.0.0.1", port: world.door.port, username, privateKey: keys.private });
  }).finally(() => client.end());
}

/** A collaborator's token. */
async function collaborator(appId: string, permissions: readonly Permission[]): Promise<string> {
  const user = await world.store.users.ensure(`${permissions.join("-")}@example.com`);
  await world.store.collaborators.add({ appId, userId: user.id, permissions });
  const of = { userId: user.id, description: "", scopes: ["global"], expiresAt: null };
  return (await world.store.tokens.create(of)).text;
}

test("spec 3.7: who would enter a dyno of an app that sleeps is told that it does", async () => {
  const { app, dyno } = await running("asleep");
  await world.store.dynos.update(dyno.id, { state: "down" });
  await world.store.apps.sleep(app.id);
  world.supervision.asleep = [{ ...dyno, state: "idle" }];
  const { status, json } = await put(app.name, "web.1");
  world.supervision.asleep = [];
  assert.equal(status, 404);
  assert.match(json.message, /^web\.1 does not run: asleep sleeps\. A request, or ps:restart, wakes it\.$/);
});

test("spec 3.7: a key is registered for a dyno, and its SSH client gets into that dyno; the audit log says so", async () => {
  const { app, dyno } = await running("execs");
  assert.deepEqual((await world.call("GET", "/api/v2", { headers: basic(app.name) })).json, [{ dyno_name: "web.1" }]);
  const { status, json } = await put(app.name, "web.1");
  assert.equal(status, 200);
  const { client_user: username, proxy_public_key: hostKey, ...place } = json;
  assert.deepEqual(place, { dyno_ip: "127.0.0.1", tunnel_host: "127.91.0.1" });
  assert.match(hostKey, /^ssh-ed25519 AAAA/);
  world.supervision.processes = async ({ request, stdout }) => {
    await eventually(() => world.openSessions.isIn(dyno.id)); // it keeps its app awake
    stdout(`ran ${String(request.command)}`);
    return 3;
  };
  assert.deepEqual(await ran(username, "ls"), ["ran ls", 3]);
  await put(app.name, "web.1"); // while somebody may come, whoever comes is answered
  await assert.rejects(ran(username, "ls"), /authentication/i, "once");
  assert.match(
    world.logs.textOf(app.id).at(-1) ?? "",
    /^app\[api\]: Starting process with command `ls` in web\.1 by user owner@/,
  );
  const events = (await world.call("GET", `/apps/${app.id}/audit-events`)).json;
  const told = events.filter(({ type }: { readonly type: string }) => type === "dyno");
  assert.deepEqual(
    told.map(({ action, app: of, actor, data }: AuditJson) => [action, of.name, actor.email, data]),
    [
      ["tunnel", "execs", "owner@example.com", { dyno: "web.1", fields: ["client_key"] }],
      ["exec", "execs", "owner@example.com", { dyno: "web.1", command: "ls" }],
      ["tunnel", "execs", "owner@example.com", { dyno: "web.1", fields: ["client_key"] }],
    ],
  );
});

test("rights that were taken away end what a key opens: the token, the part in the app, the feature, the dyno", async () => {
  const { app, dyno } = await running("revokes");
  const of = { userId: world.user.id, description: "", scopes: ["global"], expiresAt: null };
  const own = await world.store.tokens.create(of);
  const left = async (token: string, take: () => Promise<unknown>) => {
    const { json } = await put(app.name, "web.1", { client_key: KEY }, token);
    await take();
    await assert.rejects(ran(json.client_user, "ls"), /authentication/i);
  };
  await left(own.text, () => world.store.tokens.revoke(own.token.id));
  const deployer = await collaborator(app.id, ["view", "deploy"]);
  const [part] = await world.store.collaborators.list(app.id);
  await left(deployer, () => world.store.collaborators.setPermissions(part?.id ?? "", ["view"]));
  await left(world.token, () => world.store.features.set(app.id, "runtime-heroku-exec", false));
  await world.store.features.set(app.id, "runtime-heroku-exec", true);
  await left(world.token, () => world.store.dynos.update(dyno.id, { exit: { at: 1, status: 0 } }));
});

test("who may not deploy, an app that is a stranger's, a dyno that is not up, what is no key: refused", async () => {
  const { app, dyno } = await running("refuses");
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
  const inside = await world.call("POST", `/apps/${app.name}/dynos/web.1`, { body: { command: "ls" } });
  assert.equal(inside.status, 403, "nor natively");
  await world.call("PATCH", path, { body: { enabled: true } });
  assert.equal((await put(app.name, "web.1")).status, 200);
});

test("where SSH cannot come in, the official client is told before it gives up, and the native command is named", async () => {
  const { app } = await running("closed");
  const path = `/apps/${app.name}/features/runtime-heroku-exec`;
  assert.equal((await world.call("GET", path)).headers.get("x-heroku-warning"), null);
  world.door.why = "Another program has port 80 of the platform's machine to itself.";
  const { headers } = await world.call("GET", path);
  assert.match(headers.get("x-heroku-warning") ?? "", /Another program has port 80 .*stator ps:exec/);
  const other = await world.call("GET", `/apps/${app.name}/features/preboot`);
  assert.equal(other.headers.get("x-heroku-warning"), null);
  const { status, json } = await put(app.name, "web.1");
  assert.deepEqual([status, json.id], [503, "service_unavailable"]);
  world.door.why = null;
});
