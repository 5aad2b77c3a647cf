import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openWorld, type World } from "../../../test/support/api-world.ts";
import { RequestMetrics } from "../../router/request-metrics.ts";

let world: World;
before(async () => {
  world = await openWorld();
});
after(() => world[Symbol.asyncDispose]());

test("what the router saw of an app's requests, of all and by dyno; nobody sees another app's", async () => {
  const app = await world.deployed("metrics-mine");
  const other = await world.deployed("metrics-other");
  const [dyno] = await world.store.dynos.list(app.id);
  assert.ok(dyno);
  const metrics = new RequestMetrics(0);
  const answered = { dynoId: dyno.id, code: undefined, status: 200, isHeld: false, retries: 1 };
  for (const serviceMs of [10, 20, 30]) metrics.add(app.id, 1_000, { ...answered, serviceMs });
  world.requests.linesLost = 7;
  world.requests.requestsOf = (appId) => {
    const found = metrics.requestsOf(appId, 10_000);
    const named = [...found.byDyno].map(([id, counts]) => [id, { ...counts, name: dyno.name }] as const);
    return { ...found, byDyno: new Map(named) };
  };
  const counts = {
    codes: {},
    held: 0,
    per_second: 0.3,
    requests: 3,
    retries: 3,
    service_ms: { max: 30, p50: 20, p95: 30, p99: 30 },
    statuses: { "1xx": 0, "2xx": 3, "3xx": 0, "4xx": 0, "5xx": 0, other: 0 },
  };
  assert.deepEqual((await world.call("GET", `/apps/${app.name}/router-metrics`)).json, {
    app: { id: app.id, name: app.name },
    ...counts,
    dynos: [{ ...counts, id: dyno.id, name: dyno.name }],
    lines_lost: 7,
    window_seconds: 10,
  });
  const none = (await world.call("GET", `/apps/${other.id}/router-metrics`)).json;
  assert.deepEqual([none.requests, none.per_second, none.service_ms, none.dynos], [0, 0, null, []]);
  assert.equal((await world.call("GET", `/apps/${app.name}/router-metrics`, { token: null })).status, 401);
});
