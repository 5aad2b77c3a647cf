import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "../lib/logger.ts";
import { checkedSchedule } from "../model/schedule.ts";
import { World } from "../supervisor/simulation-world.ts";
import { startScheduler } from "./scheduler.ts";
import type { Schedules } from "./schedules.ts";
import { mortal } from "./testing.ts";

const MINUTE = 60_000;

/** Both parts of the daemon that a scheduled dyno needs, dying together at any call of either. */
class Daemon {
  readonly #world: World;
  readonly #life: { callsLeft: number };
  readonly #scheduler: Schedules & AsyncDisposable;

  static async start(world: World, calls = Number.POSITIVE_INFINITY): Promise<Daemon> {
    await world.start({ callsLeft: calls * 10 });
    return new Daemon(world, { callsLeft: calls });
  }

  private constructor(world: World, life: { callsLeft: number }) {
    this.#world = world;
    this.#life = life;
    const { clock, random } = world;
    this.#scheduler = startScheduler({
      store: mortal(world.store, life),
      supervision: { nudge: (appId) => world.supervisor?.nudge(appId) },
      sink: { append: (_, line) => void world.lines.push(`${line.process}: ${line.text}`) },
      clock,
      random,
      logger: silentLogger,
    });
  }

  async kill(): Promise<void> {
    this.#life.callsLeft = -1;
    this.#world.kill();
    await this.#scheduler[Symbol.asyncDispose]();
  }
}

for (let seed = 1; seed <= 6; seed++)
  test(`spec 14.1: whatever dies of ours, each minute has one dyno, and each dyno runs to its end (seed ${seed})`, async () => {
    await using world = await World.make({ seed });
    const { clock, random, store } = world;
    let daemon = await Daemon.start(world);
    const app = await world.app({ web: "run", job: "run exit=5000/7" });
    await clock.advance(10_000);
    const draft = { command: "job", schedule: "* * * * *", concurrency_policy: "allow" };
    const schedule = await store.schedules.create({ ...checkedSchedule(draft), enabled: true, appId: app.id });
    const begun = clock.now();
    for (let life = 0; life < 10; life++) {
      await daemon.kill();
      await clock.advance(random.below(3) === 0 ? random.below(50_000) : 0);
      daemon = await Daemon.start(world, random.below(120));
      await clock.advance(random.below(2 * MINUTE));
    }
    await daemon.kill();
    daemon = await Daemon.start(world);
    await clock.advance(2 * MINUTE);
    const runs = await store.schedules.runs(schedule.id);
    const decided = runs.reduce((sum, { outcome }) => sum + (outcome.kind === "missed" ? outcome.count : 1), 0);
    assert.equal(decided, Math.floor(clock.now() / MINUTE) - Math.floor(begun / MINUTE));
    const started = runs.flatMap(({ outcome }) => (outcome.kind === "started" ? [outcome] : []));
    assert.ok(started.length > 3);
    const young = clock.now() - 10_000;
    for (const { dynoName, end } of started.filter((_, index) => (runs[index]?.decidedAt ?? 0) < young))
      assert.equal(end?.status, 7, `${dynoName} ran to its end`);
    assert.equal(new Set(started.map(({ dynoId }) => dynoId)).size, started.length);
    await daemon.kill();
  });

test("spec 3.9: a scheduled dyno is never restarted, and ends after 24 hours", async () => {
  await using world = await World.make();
  const { clock, store } = world;
  const first = await Daemon.start(world);
  const app = await world.app({ web: "run", job: "run" });
  const draft = checkedSchedule({ command: "job", schedule: "1 0 * * *" });
  const schedule = await store.schedules.create({ ...draft, enabled: true, appId: app.id });
  await clock.advance(2 * MINUTE);
  await first.kill();
  await world.start();
  await clock.advance(24 * 60 * MINUTE - MINUTE - 500); // no scheduler: its looks would take the test's time
  assert.equal((await store.dynos.list(app.id)).filter(({ kind }) => kind === "scheduler").length, 1);
  world.kill();
  const second = await Daemon.start(world);
  await clock.advance(MINUTE);
  const [, run] = await store.schedules.runs(schedule.id);
  assert.equal(run?.outcome.kind === "started" && run.outcome.end?.status, 143);
  await second.kill();
});
