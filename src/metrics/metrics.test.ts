import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { test } from "node:test";
import { specOf } from "../engine/contract.ts";
import { EngineError } from "../engine/engine.ts";
import { NO_FAULTS, SimEngine } from "../engine/sim/sim-engine.ts";
import { silentLogger } from "../lib/logger.ts";
import { SimClock } from "../lib/sim-clock.ts";
import { openStore } from "../store/sqlite.ts";
import { startMetrics } from "./sampler.ts";

const MIB = 1024 * 1024;

/** The sampler over the simulated engine, whose dynos use what the test says. */
async function openWorld() {
  const clock = new SimClock();
  const engine = new SimEngine({ clock });
  const store = await openStore({ path: ":memory:", key: [randomBytes(32)], clock });
  const user = await store.users.ensure("owner@example.com");
  const app = await store.apps.create({ name: "hello", ownerId: user.id, stack: "debian-12", domain: "localhost" });
  const lines: string[] = [];
  const logs = {
    append: (appId: string, { source, process, text }: { source: string; process: string; text: string }) =>
      void lines.push(`${appId === app.id ? "" : "other "}${source}[${process}]: ${text}`),
  };
  const metrics = await startMetrics({ store, engine, logs, clock, logger: silentLogger });
  const start = async (name: string, change: Parameters<typeof specOf>[0] = {}) => {
    const spec = specOf({ appId: app.id, name, command: "run make=0", ...change });
    await engine.start(spec);
    await clock.advance(10);
    return spec.id;
  };
  /** The lines of the next sample. */
  const sampled = async () => {
    lines.length = 0;
    await clock.advance(20_000);
    return [...lines];
  };
  const dispose = async () => {
    await metrics[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
  };
  return { clock, engine, store, app, lines, metrics, start, sampled, [Symbol.asyncDispose]: dispose };
}

test("spec 6.1, 6.2: above the quota R14 with each sample, two lines; the cache does not count, swap does", async () => {
  await using world = await openWorld();
  const id = await world.start("web.1");
  world.engine.uses(id, { memory: { rssBytes: 646 * MIB } });
  const r14 = ["heroku[web.1]: Process running mem=646M(126.2%)", "heroku[web.1]: Error R14 (Memory quota exceeded)"];
  assert.deepEqual(await world.sampled(), r14);
  assert.deepEqual(await world.sampled(), r14, "every 20 s again");
  world.engine.uses(id, { memory: { rssBytes: 512 * MIB, cacheBytes: 900 * MIB } });
  assert.deepEqual(await world.sampled(), [], "exactly the quota, and a large cache");
  world.engine.uses(id, { memory: { rssBytes: 500 * MIB, swapBytes: 13 * MIB } });
  assert.equal((await world.sampled())[0], "heroku[web.1]: Process running mem=513M(100.2%)");
});

test("R14 is every running dyno's, one-off ones too; what builds or has ended says nothing", async () => {
  await using world = await openWorld();
  const ids = [
    await world.start("web.1"),
    await world.start("run.7", { kind: "run" }),
    await world.start("build.1", { kind: "build", stack: "debian-12-build", size: "Build" }),
  ];
  const gone = await world.start("web.2");
  for (const id of [...ids, gone]) world.engine.uses(id, { memory: { rssBytes: 3000 * MIB } });
  await world.engine.signal(gone, "KILL");
  assert.deepEqual(
    (await world.sampled()).map((line) => line.slice(0, line.indexOf(":"))),
    ["heroku[web.1]", "heroku[web.1]", "heroku[run.7]", "heroku[run.7]"],
  );
});

test("spec 8.5: with log-runtime-metrics two lines a sample, from the switch on and until it is off, no restart", async () => {
  await using world = await openWorld();
  const { store, engine, app, clock } = world;
  const id = await world.start("web.1");
  const other = await store.apps.create({ ...app, name: "other", domain: "localhost" });
  await world.start("web.1", { appId: other.id });
  const memory = { rssBytes: 217.77 * MIB, cacheBytes: 3.7 * MIB, pagesIn: 149_293, pagesOut: 123_257 };
  engine.uses(id, { memory });
  assert.deepEqual(await world.sampled(), []);
  await store.features.set(app.id, "log-runtime-metrics", true);
  const began = clock.now();
  engine.uses(id, { memory, cpuMs: 0 });
  const who = `heroku[web.1]: source=web.1 dyno=heroku.${app.uidIndex}.${id}`;
  const about = `${who} sample#memory_total=221.47MB sample#memory_rss=217.77MB sample#memory_cache=3.70MB sample#memory_swap=0.00MB sample#memory_pgpgin=149293pages sample#memory_pgpgout=123257pages sample#memory_quota=512.00MB`;
  assert.deepEqual(await world.sampled(), [
    `${who} sample#load_avg_1m=0.00 sample#load_avg_5m=0.00 sample#load_avg_15m=0.00`,
    about,
  ]);
  engine.uses(id, { memory, cpuMs: 30_000, tasks: { waitedMs: 8_000, uninterruptible: 1 } });
  assert.equal(clock.now() - began, 20_000);
  assert.deepEqual(await world.sampled(), [
    // Of 20 s: 1.5 ran, 0.4 waited, 1 slept uninterruptibly: 2.9 (1 - e^-20/60) and so on.
    `${who} sample#load_avg_1m=0.82 sample#load_avg_5m=0.19 sample#load_avg_15m=0.06`,
    about,
  ]);
  await store.features.set(app.id, "log-runtime-metrics", false);
  assert.deepEqual(await world.sampled(), []);
});

test("a failed look costs its sample and nothing else", async () => {
  await using world = await openWorld();
  const id = await world.start("web.1");
  world.engine.uses(id, { memory: { rssBytes: 600 * MIB } });
  world.engine.faults = { ...NO_FAULTS, before: () => new EngineError("unavailable", "the host is away") };
  assert.deepEqual(await world.sampled(), []);
  await assert.rejects(world.metrics.usagesOf(world.app.id), /Usage cannot be told now: the host is away/);
  world.engine.faults = NO_FAULTS;
  assert.equal((await world.sampled()).length, 2);
});

test("usage is looked up when it is asked for, once for all who ask within two seconds; processor use is since the last sample", async () => {
  await using world = await openWorld();
  const { clock, engine, metrics, app } = world;
  const id = await world.start("web.1");
  await world.sampled();
  await clock.advance(10_000);
  let looks = 0;
  engine.faults = { ...NO_FAULTS, before: () => void looks++ };
  engine.uses(id, { cpuMs: 5_000 });
  const all = await Promise.all([metrics.usagesOf(app.id), metrics.usagesOf(app.id), metrics.usagesOf(randomUUID())]);
  assert.deepEqual([looks, all[0]?.[0]?.usage.id, all[2]?.length], [1, id, 0]);
  assert.ok(Math.abs((all[0]?.[0]?.cpuPercent ?? 0) - 50) < 1, "5 s of 10 s");
  await clock.advance(1_900);
  await metrics.usagesOf(app.id);
  assert.equal(looks, 1);
  await clock.advance(200);
  await metrics.usagesOf(app.id);
  assert.equal(looks, 2);
});

test("the latest sample of a process type is there for scaling: means over its dynos", async () => {
  await using world = await openWorld();
  const { engine, metrics, app } = world;
  const [one, two] = [await world.start("web.1"), await world.start("web.2")];
  await world.start("worker.1");
  await world.start("run.1", { kind: "run" });
  await world.sampled();
  engine.uses(one, { cpuMs: 20_000, memory: { rssBytes: 256 * MIB } });
  engine.uses(two, { cpuMs: 0, memory: { rssBytes: 128 * MIB } });
  await world.sampled();
  assert.deepEqual(metrics.metricsOf(app.id, "web"), { dynos: 2, cpu_percent: 50, memory_percent: 37.5 });
  assert.equal(metrics.metricsOf(app.id, "worker")["dynos"], 1);
  assert.deepEqual(metrics.metricsOf(app.id, "run"), {});
  assert.deepEqual(metrics.metricsOf(app.id, "clock"), {});
});

test("a sampler ends at once, while the engine does not answer too", async () => {
  const world = await openWorld();
  world.engine.faults = { ...NO_FAULTS, delayMs: () => 3_600_000 };
  await world.clock.advance(20_000);
  await world[Symbol.asyncDispose]();
});
