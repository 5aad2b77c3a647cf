import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openWorld, type World } from "../../../test/support/api-world.ts";
import { UsageError } from "../../cli/command.ts";
import { format } from "../../cli/commands/routing.ts";
import { changeOf } from "../../cli/commands/routing-set.ts";

/** Every answer here is also checked against its schema: the world has `checkResponses` on. */
let world: World;
before(async () => {
  world = await openWorld();
});
after(() => world[Symbol.asyncDispose]());

test("how the router treats an app: seen, changed in part, told in the log; what is none changes nothing", async () => {
  const { id, name } = await world.deployed("routed-1");
  const path = `/apps/${name}/routing`;
  const before = (await world.call("GET", path)).json;
  const usual = { balance: "random", dyno_protocol: "http1", first_byte_timeout: 30, rolling_timeout: 55 };
  const off = { https_redirect: false, session_affinity: false, basic_auth_users: [] };
  assert.deepEqual(before, { app: { id, name }, ...usual, ...off });
  const change = changeOf(["balance=least-connections", "session-affinity=on", "first-byte-timeout=60"]);
  assert.deepEqual((await world.call("PATCH", path, { body: change })).json, { ...before, ...change });
  assert.ok(
    world.logs
      .textOf(id)
      .includes(
        "app[api]: Set routing balance=least-connections session-affinity=true first-byte-timeout=60 by user owner@example.com",
      ),
  );
  for (const bad of [{ first_byte_timeout: 0 }, { rolling_timeout: 3601, session_affinity: false }]) {
    const answer = await world.call("PATCH", path, { body: bad });
    assert.equal(answer.status, 422);
    assert.match(answer.json.message, /say a number from 1 to 3600/);
  }
  for (const bad of [{ balance: "round" }, { dyno_protocol: "h3" }, { https_redirect: "on" }, { no_such: 1 }])
    assert.ok((await world.call("PATCH", path, { body: bad })).status >= 400, JSON.stringify(bad));
  assert.deepEqual((await world.call("GET", path)).json, { ...before, ...change });
});

test("spec 12: session affinity is Heroku's feature and a setting of ours, and both are one", async () => {
  const { name } = await world.deployed("routed-2");
  const feature = `/apps/${name}/features/http-session-affinity`;
  const affinity = async () => (await world.call("GET", `/apps/${name}/routing`)).json.session_affinity;
  assert.equal((await world.call("PATCH", feature, { body: { enabled: true } })).json.enabled, true);
  assert.equal(await affinity(), true);
  await world.call("PATCH", `/apps/${name}/routing`, { body: { session_affinity: false } });
  assert.equal((await world.call("GET", feature)).json.enabled, false);
});

test("basic auth: users are added and removed; a password is told once, and neither kept nor logged", async () => {
  const { id, name } = await world.deployed("routed-3");
  const path = `/apps/${name}/routing/users`;
  const add = (body: unknown) => world.call("POST", path, { body });
  const made = await add({ name: "ann" });
  assert.equal(made.status, 201);
  assert.match(made.json.password, /^[\w-]{24}$/);
  assert.equal((await add({ name: "bob@example.com", password: "correct horse" })).json.password, "correct horse");
  assert.equal((await add({ name: "ann" })).status, 422);
  assert.equal((await add({ name: "a:b" })).status, 422);
  assert.equal((await add({ name: "eve", password: "short" })).status, 422);
  const shown = await world.call("GET", `/apps/${name}/routing`);
  assert.deepEqual(shown.json.basic_auth_users, ["ann", "bob@example.com"]);
  const removed = await world.call("DELETE", `${path}/${encodeURIComponent("bob@example.com")}`);
  assert.deepEqual(removed.json.basic_auth_users, ["ann"]);
  assert.equal((await world.call("DELETE", `${path}/bob@example.com`)).status, 404);
  const audit = await world.call("GET", `/apps/${name}/audit-events`);
  assert.match(audit.text, /bob@example\.com/);
  const kept = JSON.stringify([shown.json, audit.json, world.logs.textOf(id), await world.store.routing.users(id)]);
  for (const password of [made.json.password, "correct horse"]) assert.ok(!kept.includes(password));
});

test("routing:set reads words as routing shows them, and refuses what is none", () => {
  for (const bad of ["", "balance", "balance=", "rolling-timeout=1.5", "https-redirect=yes", "x=1", "__proto__=1"])
    assert.throws(() => changeOf([bad]), UsageError, bad);
  assert.throws(() => changeOf([]), UsageError);
  const routing = {
    balance: "random",
    basic_auth_users: ["ann", "bob"],
    dyno_protocol: "h2c",
    first_byte_timeout: 30,
    https_redirect: true,
    rolling_timeout: 55,
    session_affinity: false,
  };
  assert.deepEqual(format(routing, "x").slice(2), [
    "balance:            random",
    "session-affinity:   off",
    "first-byte-timeout: 30 s",
    "rolling-timeout:    55 s",
    "https-redirect:     on",
    "dyno-protocol:      h2c",
    "basic auth:         ann, bob",
  ]);
});
