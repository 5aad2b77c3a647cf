import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openWorld, type World } from "../../../test/support/api-world.ts";

let world: World;
before(async () => {
  world = await openWorld();
});
after(() => world[Symbol.asyncDispose]());

let number = 0;
const newApp = () => world.deployed(`telling-${++number}`);
const exporter = { type: "otlphttp", endpoint: "https://otel.example.com", headers: { "x-key": "mine" } };
const post = (id: string, more: object = {}) =>
  world.call("POST", "/telemetry-drains", {
    body: { owner: { id, type: "app" }, signals: ["logs"], exporter, ...more },
  });

test("telemetry drains: added, listed, shown, changed, removed; all signals are taken with a warning", async () => {
  const { id, name } = await newApp();
  const made = await post(id);
  assert.equal(made.status, 201, made.text);
  assert.deepEqual([made.json.owner, made.json.signals, made.json.exporter], [{ id, type: "app" }, ["logs"], exporter]);
  assert.equal(made.headers.get("warning-message"), null);
  const all = await post(id, { signals: ["traces", "metrics", "logs"] });
  assert.match(all.headers.get("warning-message") ?? "", /^Only logs are sent/);
  assert.equal((await world.call("GET", `/apps/${name}/telemetry-drains`)).json.length, 2);
  const path = `/telemetry-drains/${made.json.id}`;
  assert.equal((await world.call("GET", path)).json.id, made.json.id);
  const changed = await world.call("PATCH", path, {
    body: { exporter: { endpoint: "https://other.example.com/v1/logs" } },
  });
  assert.equal(changed.status, 200, changed.text);
  assert.deepEqual(changed.json.exporter, { ...exporter, endpoint: "https://other.example.com/v1/logs" });
  assert.equal((await world.call("DELETE", path)).json.id, made.json.id);
  assert.deepEqual([(await world.call("GET", path)).status, (await world.call("DELETE", path)).status], [404, 404]);
});

test("telemetry that cannot be sent is refused; a drain is its app's owner's alone", async () => {
  const { id } = await newApp();
  const refused = async (more: object, why: RegExp, status = 422) => {
    const answer = await post(id, more);
    assert.deepEqual([answer.status, why.test(answer.json.message)], [status, true], answer.text);
  };
  await refused({ signals: ["traces"] }, /logs among them/);
  await refused({ signals: ["noise"] }, /Invalid parameters/);
  await refused({ exporter: { ...exporter, type: "otlp" } }, /--transport http/);
  await refused({ exporter: { ...exporter, endpoint: "syslog://h" } }, /Url is invalid/);
  await refused({ exporter: { ...exporter, endpoint: "https://192.168.1.1/" } }, /refused by the network rules/);
  await refused({ exporter: { ...exporter, headers: { Host: "x" } } }, /Header "Host"/);
  await refused({ exporter: { ...exporter, headers: { a: "b\r\nc: d" } } }, /Header "a"/);
  await refused({ owner: { id, type: "space" } }, /no spaces/, 404);
  const { json } = await post(id);
  const other = await world.store.users.ensure("other@example.com");
  const mine = { userId: other.id, description: "", scopes: ["global"], expiresAt: null };
  const { text: token } = await world.store.tokens.create(mine);
  for (const method of ["GET", "PATCH", "DELETE"]) {
    assert.equal(
      (await world.call(method, `/telemetry-drains/${json.id}`, { token, ...(method === "PATCH" && { body: {} }) }))
        .status,
      404,
    );
  }
  const body = { owner: { id, type: "app" }, signals: ["logs"], exporter };
  assert.equal((await world.call("POST", "/telemetry-drains", { token, body })).status, 404);
});
