import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "../lib/logger.ts";
import { type Random, seededRandom } from "../lib/random.ts";
import { SimClock } from "../lib/sim-clock.ts";
import type { App } from "../model/app.ts";
import { type AppManifest, parseAppManifest } from "../model/app-manifest.ts";
import type { DynoRecord } from "../model/dyno.ts";
import { checkedSchedule, nextRunAt, type Schedule, type ScheduleDraft, type ScheduleRun } from "../model/schedule.ts";
import { openStore } from "../store/sqlite.ts";
import type { Store } from "../store/store.ts";
import { startScheduler } from "./scheduler.ts";
import type { Schedules } from "./schedules.ts";
import { mortal } from "./testing.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** The scheduler over a real store and a simulated clock; dynos are records that the test ends. */
class World implements AsyncDisposable {
  readonly clock = new SimClock();
  readonly lines: string[] = [];
  readonly nudged: string[] = [];
  readonly random: Random;
  readonly store: Store;
  readonly app: App;
  scheduler: (Schedules & AsyncDisposable) | undefined;

  static async open({ seed = 1, cron = [] as readonly object[] } = {}): Promise<World> {
    const random = seededRandom(seed);
    const clock = new SimClock();
    const bytes = (count: number) => Buffer.from(Array.from({ length: count }, () => random.below(256)));
    const store = await openStore({ path: ":memory:", key: [new Uint8Array(32)], clock, random: bytes });
    const owner = await store.users.ensure("me@example.com");
    const app = await store.apps.create({ name: "hello", ownerId: owner.id, stack: "debian-12", domain: "localhost" });
    const world = new World({ clock, random, store, app });
    if (cron.length > 0) await world.deploy(cron);
    return world;
  }

  private constructor(parts: Pick<World, "clock" | "random" | "store" | "app">) {
    this.clock = parts.clock;
    this.random = parts.random;
    this.store = parts.store;
    this.app = parts.app;
  }

  start(store: Store = this.store): void {
    this.scheduler = startScheduler({
      store,
      supervision: { nudge: (appId) => void this.nudged.push(appId) },
      sink: { append: (_, line) => void this.lines.push(`${line.process}: ${line.text}`) },
      clock: this.clock,
      random: this.random,
      logger: silentLogger,
    });
  }

  async stop(): Promise<void> {
    await this.scheduler?.[Symbol.asyncDispose]();
    this.scheduler = undefined;
  }

  /** A release with this `cron` in its app.json becomes current. */
  async deploy(cron: readonly object[], processTypes: Readonly<Record<string, string>> = { web: "run" }) {
    const manifest: AppManifest = parseAppManifest(JSON.stringify({ cron }));
    const slug = await this.store.slugs.create({
      appId: this.app.id,
      digest: "ab".repeat(32),
      sizeBytes: 1,
      processTypes,
      stack: "debian-12",
      commit: null,
      buildpackDescription: null,
      manifest,
    });
    await this.release(slug.id);
    return slug;
  }

  async release(slugId: string): Promise<void> {
    const common = { appId: this.app.id, userId: this.app.ownerId, description: "Deploy" };
    const release = await this.store.releases.create({ ...common, slugId, status: "succeeded" });
    await this.store.apps.update(this.app.id, { currentReleaseId: release.id });
  }

  add(draft: ScheduleDraft): Promise<Schedule> {
    return this.store.schedules.create({ ...checkedSchedule(draft), enabled: true, appId: this.app.id });
  }

  dynos(): Promise<readonly DynoRecord[]> {
    return this.store.dynos.list(this.app.id);
  }

  async end(dyno: DynoRecord | undefined, status = 0): Promise<void> {
    assert.ok(dyno);
    await this.store.dynos.update(dyno.id, { exit: { at: this.clock.now(), status }, state: "complete" });
  }

  async endAll(): Promise<void> {
    for (const dyno of await this.dynos()) if (dyno.exit === null) await this.end(dyno);
  }

  async runs(): Promise<readonly ScheduleRun[]> {
    const all = await Promise.all(
      (await this.store.schedules.list(this.app.id)).map(({ id }) => this.store.schedules.runs(id)),
    );
    return all.flat();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await this.store[Symbol.asyncDispose]();
  }
}

const kinds = (runs: readonly ScheduleRun[]) => runs.map(({ outcome }) => outcome.kind);

test("spec 1.1, 8.2: a schedule of app.json starts one-off dynos scheduler.N, when they are due", async () => {
  await using world = await World.open({
    cron: [{ command: "tidy --all", schedule: "*/10 * * * *", size: "standard-2x" }],
  });
  await world.deploy([{ command: "tidy --all", schedule: "*/10 * * * *", size: "standard-2x" }], {
    tidy: "python3 tidy.py",
  });
  world.start();
  await world.clock.advance(10 * MINUTE - 1);
  assert.deepEqual(await world.dynos(), []);
  await world.clock.advance(1000);
  const [dyno, ...more] = await world.dynos();
  assert.ok(dyno && more.length === 0);
  assert.match(dyno.name, /^scheduler\.\d{1,4}$/);
  assert.deepEqual([dyno.kind, dyno.type, dyno.size], ["scheduler", "scheduler", "Standard-2X"]);
  assert.equal(dyno.command, "python3 tidy.py --all", "spec 3.9: a process type stands for its command");
  assert.equal(dyno.oneOff?.attach, false);
  assert.equal(dyno.createdAt % MINUTE, 0, "on the minute");
  assert.deepEqual(world.lines, [
    "api: Starting process with command `python3 tidy.py --all` by user scheduler@addons.heroku.com",
  ]);
  assert.deepEqual(world.nudged, [world.app.id]);
  await world.end(dyno, 3);
  const [run] = await world.runs();
  assert.deepEqual(run?.outcome, {
    kind: "started",
    dynoId: dyno.id,
    dynoName: dyno.name,
    end: { at: world.clock.now(), status: 3 },
  });
});

test("no overlap unless asked: the next run is skipped and shown, and runs again once the dyno has ended", async () => {
  await using world = await World.open({ cron: [{ command: "slow", schedule: "* * * * *", name: "slow" }] });
  world.start();
  await world.clock.advance(2 * MINUTE);
  const [dyno, ...more] = await world.dynos();
  assert.ok(dyno && more.length === 0);
  assert.equal(
    world.lines.at(-1),
    `scheduler: Skipped: slow was due at 2026-01-01T00:02:00Z, and ${dyno.name}, started at 2026-01-01T00:01:00Z, still runs`,
  );
  await world.end(dyno);
  await world.clock.advance(MINUTE);
  assert.deepEqual(kinds(await world.runs()), ["started", "skipped", "started"]);
});

test("overlap that was asked for: beside it, or in its place with SIGTERM", async () => {
  const cron = [
    { command: "a", schedule: "* * * * *", concurrency_policy: "allow" },
    { command: "b", schedule: "* * * * *", concurrency_policy: "replace" },
  ];
  await using world = await World.open({ cron });
  world.start();
  await world.clock.advance(MINUTE);
  for (const dyno of await world.dynos()) await world.store.dynos.update(dyno.id, { launchedAt: 1, state: "up" });
  await world.clock.advance(MINUTE);
  const dynos = await world.dynos();
  assert.deepEqual(
    dynos.map(({ command, stopping }) => [command, stopping?.reason]),
    [
      ["a", undefined],
      ["b", "replaced"],
      ["a", undefined],
      ["b", undefined],
    ],
  );
  assert.ok(world.lines.includes(`${dynos[1]?.name}: Stopping all processes with SIGTERM`));
});

test("a platform that was away: one late run, the rest is shown as missed, and nothing piles up", async () => {
  await using world = await World.open({ cron: [{ command: "tick", schedule: "*/5 * * * *" }] });
  world.start();
  await world.clock.advance(5 * MINUTE);
  await world.endAll();
  await world.stop();
  await world.clock.advance(42 * MINUTE);
  world.start();
  await world.clock.advance(1000);
  assert.equal((await world.dynos()).length, 2);
  assert.deepEqual(world.lines.slice(1), [
    "scheduler: Missed: tick was due 7 times from 2026-01-01T00:10:00Z to 2026-01-01T00:40:00Z, and the platform was down, or its clock was wrong. To run it now: stator schedules:run tick",
    "scheduler: Late by 2 minutes: tick was due at 2026-01-01T00:45:00Z",
    "api: Starting process with command `tick` by user scheduler@addons.heroku.com",
  ]);
  assert.deepEqual(kinds(await world.runs()), ["started", "missed", "started"]);
});

test("the schedules of app.json follow the release, in the transaction that makes it current; rollback brings them back", async () => {
  await using world = await World.open();
  const first = await world.deploy([
    { command: "a", schedule: "@daily" },
    { command: "b", schedule: "@hourly" },
  ]);
  const before = await world.store.schedules.list(world.app.id);
  await world.clock.advance(HOUR);
  await world.deploy([{ command: "a", schedule: "@hourly" }]);
  const [a, ...others] = await world.store.schedules.list(world.app.id);
  assert.ok(a && others.length === 0);
  assert.equal(a.id, before[0]?.id, "the same schedule: a dyno of it that runs still counts");
  assert.deepEqual([a.cron, a.decidedUntil], ["@hourly", world.clock.now()], "with another line it begins anew");
  await world.clock.advance(HOUR);
  await world.release(first.id);
  const after = await world.store.schedules.list(world.app.id);
  assert.deepEqual(
    after.map(({ name, cron }) => [name, cron]),
    [
      ["a", "@daily"],
      ["b", "@hourly"],
    ],
  );
  world.start();
  await world.clock.advance(HOUR - 1);
  assert.deepEqual(kinds(await world.runs()), [], "what was due while it was not there is not missed");
});

test("no runs while there is no code; what was due before is not missed", async () => {
  await using world = await World.open();
  await world.add({ command: "tick", schedule: "* * * * *" });
  world.start();
  await world.clock.advance(10 * MINUTE);
  assert.deepEqual([await world.dynos(), await world.runs()], [[], []]);
  await world.deploy([]);
  await world.clock.advance(MINUTE);
  assert.deepEqual(kinds(await world.runs()), ["started"]);
});

test("one that is off does not run, and has missed nothing when it is switched on", async () => {
  await using world = await World.open({ cron: [{ command: "x", schedule: "@yearly" }] });
  const schedule = await world.add({ command: "tick", schedule: "* * * * *" });
  await world.store.schedules.update(schedule.id, { enabled: false });
  world.start();
  await world.clock.advance(HOUR);
  await world.store.schedules.update(schedule.id, { enabled: true });
  await world.clock.advance(MINUTE);
  assert.deepEqual(kinds(await world.runs()), ["started"]);
});

test("a clock that is set back by hours while the scheduler runs: it says so, and goes on by the new time", async () => {
  await using world = await World.open({ cron: [{ command: "tick", schedule: "* * * * *" }] });
  world.start();
  await world.clock.advance(MINUTE);
  await world.endAll();
  world.clock.jump(-3 * HOUR);
  await world.clock.advance(6_000);
  assert.equal(world.lines.at(-1), "scheduler: The clock was set back by more than an hour: tick goes by the new time");
  await world.clock.advance(MINUTE);
  assert.deepEqual(kinds(await world.runs()), ["started", "started"]);
});

test("run now: at once, by whom; refused while it runs and allows no other", async () => {
  await using world = await World.open({ cron: [{ command: "tick", schedule: "@yearly" }] });
  world.start();
  const [schedule] = await world.store.schedules.list(world.app.id);
  assert.ok(schedule && world.scheduler);
  const request = { app: world.app, schedule, userEmail: "me@example.com" };
  const run = await world.scheduler.runNow(request);
  assert.equal(run.dueAt, null);
  assert.deepEqual(world.lines, ["api: Starting process with command `tick` by user me@example.com"]);
  await assert.rejects(world.scheduler.runNow(request), /^PlatformError: tick runs already, as scheduler\.\d+: wait/);
  await world.endAll();
  await world.scheduler.runNow(request);
  assert.deepEqual(kinds(await world.runs()), ["started", "started"]);
});

test("runs that are kept: the newest 100", async () => {
  await using world = await World.open({ cron: [{ command: "tick", schedule: "* * * * *" }] });
  world.start();
  for (let minute = 0; minute < 110; minute++) {
    await world.clock.advance(MINUTE);
    await world.endAll();
  }
  const runs = await world.runs();
  assert.equal(runs.length, 100);
  assert.equal(runs[0]?.dueAt, world.clock.now());
});

test("spec 14.1: it may die at each call in turn: the run is there once, with its dyno", async () => {
  let deaths = 0;
  for (let callsLeft = 0; callsLeft < 60; callsLeft++) {
    await using world = await World.open({ cron: [{ command: "tick", schedule: "0 0 * * *" }] });
    world.clock.jump(24 * HOUR - (world.clock.now() % (24 * HOUR)) - 100);
    const life = { callsLeft };
    world.start(mortal(world.store, life));
    await world.clock.advance(1000);
    if (life.callsLeft < 0) deaths++;
    await world.stop();
    world.start();
    await world.clock.advance(10_000);
    const [run, ...more] = await world.runs();
    const [dyno, ...others] = await world.dynos();
    assert.deepEqual([more, others], [[], []], `dead after ${callsLeft} calls`);
    assert.ok(run?.outcome.kind === "started" && run.outcome.dynoId === dyno?.id, `dead after ${callsLeft} calls`);
  }
  assert.ok(deaths > 10 && deaths < 60, `it died ${deaths} times`);
});

const TABLES = [
  { schedule: "* * * * *" },
  { schedule: "*/5 * * * *", concurrency_policy: "allow" },
  { schedule: "30 2 * * *", timezone: "Europe/Berlin" },
  { schedule: "0 1-3 * * *", timezone: "America/New_York", concurrency_policy: "replace" },
] as const;

for (let seed = 1; seed <= 10; seed++)
  test(`spec 14.1: exactly once, through deaths at any call, long absences and jumps of the clock (seed ${seed})`, async () => {
    await using world = await World.open({ seed });
    const { random, clock, store } = world;
    await world.deploy(TABLES.map((each, index) => ({ command: `c${index}`, ...each })));
    // Days around both changes of the clock.
    clock.jump(Date.UTC(2026, random.below(2) === 0 ? 2 : 9, 23 + random.below(6)) - clock.now());
    for (const { id } of await store.schedules.list(world.app.id)) await store.schedules.decided(id, clock.now());
    const begun = clock.now();
    let latest = begun;
    for (let life = 0; life < 6; life++) {
      world.start(mortal(store, { callsLeft: random.below(3) === 0 ? 1e9 : random.below(250) }));
      await clock.advance(random.below(40 * MINUTE), async () => {
        latest = Math.max(latest, clock.now());
        if (random.below(20) === 0) await world.endAll();
      });
      await world.stop();
      const jumps = [0, 30_000, -30_000, 50 * MINUTE, -50 * MINUTE, 7 * HOUR, 30 * HOUR] as const;
      clock.jump(jumps[random.below(jumps.length)] ?? 0);
      latest = Math.max(latest, clock.now());
    }
    clock.jump(Math.max(0, latest - clock.now()));
    world.start();
    await clock.advance(10_000);
    const dynos = new Map((await world.dynos()).map((dyno) => [dyno.id, dyno]));
    let started = 0;
    for (const schedule of await store.schedules.list(world.app.id)) {
      const runs = await allRuns(world, schedule);
      const dueTimes = runs.flatMap(({ outcome, dueAt }) => (outcome.kind === "missed" ? [] : [dueAt]));
      assert.equal(new Set(dueTimes).size, dueTimes.length, `${schedule.name}: no time is decided twice`);
      for (const { outcome, dueAt, decidedAt } of runs) {
        if (outcome.kind === "started") {
          started++;
          assert.ok(dynos.has(outcome.dynoId), "its dyno was noted with it");
          assert.ok(dueAt !== null && decidedAt >= dueAt && decidedAt - dueAt <= HOUR);
        }
      }
      if (runs.length >= 100) continue; // older ones are forgotten
      const decided = runs.reduce((sum, { outcome }) => sum + (outcome.kind === "missed" ? outcome.count : 1), 0);
      let due = 0;
      for (let at = nextRunAt(schedule, begun); at !== null && at <= clock.now(); at = nextRunAt(schedule, at)) due++;
      if (!runs.some(({ outcome }) => outcome.kind === "missed" && outcome.count >= 1000))
        assert.equal(decided, due, `${schedule.name}: every time is decided`);
    }
    assert.ok(started <= dynos.size);
    const names = [...dynos.values()].filter(({ exit }) => exit === null).map(({ name }) => name);
    assert.equal(new Set(names).size, names.length, "no two live dynos have one name");
  });

function allRuns(world: World, schedule: Schedule): Promise<readonly ScheduleRun[]> {
  return world.store.schedules.runs(schedule.id);
}
