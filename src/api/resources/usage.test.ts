import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openWorld, type World } from "../../../test/support/api-world.ts";
import type { Measured } from "../../metrics/measure.ts";
import type { DynoRecord } from "../../model/dyno.ts";

let world: World;
before(async () => {
  world = await openWorld();
});
after(() => world[Symbol.asyncDispose]());

const MIB = 1024 * 1024;
const measuredOf = ({ id, appId, kind, name }: DynoRecord, change: Partial<Measured["usage"]> = {}): Measured => ({
  usage: {
    id,
    appId,
    kind,
    name,
    at: Date.UTC(2026, 0, 2),
    since: Date.UTC(2026, 0, 1),
    memory: {
      rssBytes: 600 * MIB,
      cacheBytes: 10 * MIB,
      swapBytes: 46 * MIB,
      quotaBytes: 512 * MIB,
      ceilingBytes: 1024 * MIB,
      pagesIn: 1,
      pagesOut: 1,
    },
    cpuMs: 1234.5,
    processes: 3,
    tasks: null,
    diskBytes: 4096,
    io: { readBytes: 1, writeBytes: 2, reads: 3, writes: 4 },
    network: { inBytes: 5, outBytes: 6 },
    ...change,
  },
  cpuPercent: 12.345,
  load: [0.5, 0.25, 0.125],
});

test("what dynos use against what their sizes give, by dyno and for all of an app; each field says its unit", async () => {
  const app = await world.deployed("usage-of-dynos");
  await world.call("PATCH", `/apps/${app.name}/formation/web`, { body: { quantity: 2 } });
  await world.supervision.settleAll(app.id);
  const [one, two] = await world.store.dynos.list(app.id);
  assert.ok(one && two);
  world.usage.dynos.push(measuredOf(one), measuredOf(two, { diskBytes: null, io: null, network: null }));
  const all = (await world.call("GET", `/apps/${app.name}/usage`)).json;
  assert.deepEqual(
    all.map(({ name, type }: { name: string; type: string }) => [name, type]),
    [
      ["web.1", "web"],
      ["web.2", "web"],
    ],
  );
  assert.deepEqual(all[0], {
    app: { id: app.id, name: app.name },
    cpu_percent: 12.35,
    cpu_percent_max: 400,
    cpu_time_ms: 1235,
    disk_quota_bytes: 2048 * MIB,
    disk_used_bytes: 4096,
    id: one.id,
    io_read_bytes: 1,
    io_reads: 3,
    io_write_bytes: 2,
    io_writes: 4,
    load_avg_1m: 0.5,
    load_avg_5m: 0.25,
    load_avg_15m: 0.13,
    memory_cache_bytes: 10 * MIB,
    memory_ceiling_bytes: 1024 * MIB,
    memory_percent: 126.17,
    memory_quota_bytes: 512 * MIB,
    memory_rss_bytes: 600 * MIB,
    memory_swap_bytes: 46 * MIB,
    name: "web.1",
    network_in_bytes: 5,
    network_out_bytes: 6,
    processes: 3,
    processes_max: 256,
    sampled_at: "2026-01-02T00:00:00Z",
    size: "Basic",
    started_at: "2026-01-01T00:00:00Z",
    type: "web",
  });
  const named = await world.call("GET", `/apps/${app.name}/dynos/web.2/usage`);
  assert.deepEqual([named.json.id, named.json.io_reads, named.json.disk_used_bytes], [two.id, null, null]);
  assert.equal((await world.call("GET", `/apps/${app.name}/dynos/${one.id}/usage`)).json.name, "web.1");
  const idle = await world.call("GET", `/apps/${app.name}/dynos/web.3/usage`);
  assert.deepEqual([idle.status, idle.json.message], [404, `No dyno web.3 of ${app.name} runs, so it uses nothing.`]);
});

test("nobody sees the usage of another app's dynos, by whatever name", async () => {
  const mine = await world.deployed("usage-mine");
  const other = await world.deployed("usage-other");
  const [dyno] = await world.store.dynos.list(other.id);
  assert.ok(dyno);
  world.usage.dynos.push(measuredOf(dyno));
  assert.equal((await world.call("GET", `/apps/${mine.name}/dynos/${dyno.id}/usage`)).status, 404);
  assert.deepEqual((await world.call("GET", `/apps/${mine.name}/usage`)).json, []);
  assert.equal((await world.call("GET", `/apps/${mine.name}/usage`, { token: null })).status, 401);
});
