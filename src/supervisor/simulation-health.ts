import assert from "node:assert/strict";
import { routedDynos } from "../model/dyno.ts";
import { CHECK_KINDS, type CheckKind } from "../model/health.ts";
import type { Scenario } from "./simulation-scenarios.ts";
import type { World } from "./simulation-world.ts";

/** What a dyno's checks mean (docs/dynos.md, "Health checks"), played through. */
const SECOND = 1000;

type ChecksOf = Readonly<Record<string, readonly CheckKind[]>>;

export const HEALTH_SCENARIOS: readonly Scenario[] = [
  {
    name: "health: a web dyno is up once it listens, its startup checks have passed and its readiness checks pass",
    async play(world) {
      const { id } = await started(world, { web: "run startup=0-5000 readiness=0-9000" }, { web: CHECK_KINDS });
      await world.clock.advance(8 * SECOND);
      assert.deepEqual(await world.standing(id), ["web.1 starting"]);
      assert.deepEqual(await routed(world, id), []);
      await world.clock.advance(3 * SECOND);
      assert.deepEqual(await world.standing(id), ["web.1 up"]);
      assert.deepEqual(await routed(world, id), ["web.1"]);
      assert.deepEqual(world.lines, [
        "web.1: Starting process with command `run startup=0-5000 readiness=0-9000`",
        "web.1: State changed from starting to up",
      ]);
    },
  },
  {
    name: "health: a worker is up once its startup check has passed, and a release waits for it",
    async play(world) {
      const { id } = await started(world, { web: "run" });
      await world.clock.advance(12 * SECOND);
      await world.scale(id, "web", 0);
      await world.checks(id, "worker", "startup");
      const release = await world.deploy(id, { web: "run", worker: "run startup=0-20000" });
      await world.clock.advance(15 * SECOND);
      await world.scale(id, "worker", 1);
      await world.clock.advance(10 * SECOND);
      assert.deepEqual(await world.standing(id), ["worker.1 starting"]);
      const next = await world.deploy(id, { web: "run", worker: "run startup=0-15000" });
      await world.clock.advance(11 * SECOND);
      assert.equal((await world.store.releases.byId(release.id))?.status, "succeeded");
      assert.equal((await world.store.releases.byId(next.id))?.status, "pending");
      await world.clock.advance(20 * SECOND);
      assert.equal((await world.store.releases.byId(next.id))?.status, "succeeded");
      assert.deepEqual(await world.standing(id), ["worker.1 up"]);
    },
  },
  {
    name: "health: checks that do not pass within the boot timeout end the dyno, fail the release, and leave the old one",
    async play(world) {
      const { id } = await started(world, { web: "run" }, { web: ["startup", "readiness"] });
      await world.clock.advance(12 * SECOND);
      const before = await routedIds(world, id);
      world.lines.length = 0;
      const bad = await world.deploy(id, { web: "run readiness=0" });
      await world.clock.advance(55 * SECOND);
      assert.equal((await world.store.releases.byId(bad.id))?.status, "pending");
      await world.clock.advance(10 * SECOND);
      const late = "Readiness check did not pass within 60 seconds of launch: GET /up answered 500";
      assert.deepEqual(world.lines.filter((line) => line.startsWith("web.1")).slice(3), [
        `web.1: ${late}`,
        "web.1: Stopping process with SIGKILL",
        "web.1: Process exited with status 137",
        "web.1: State changed from starting to crashed",
      ]);
      assert.equal((await world.store.releases.byId(bad.id))?.failure, `web.1: ${late}`);
      assert.deepEqual(await routedIds(world, id), before);
    },
  },
  {
    name: "health: a startup check that fails as often as it may does not wait for the boot timeout",
    async play(world) {
      const { id } = await world.app({});
      const check = { kind: "startup", name: null, intervalMs: 1000, timeoutMs: 1000, initialDelayMs: 0 } as const;
      const probe = { kind: "command", command: "bin/check" } as const;
      await world.store.checks.set(id, "web", [{ ...check, probe, attempts: 3, successes: 1 }]);
      const bad = await world.deploy(id, { web: "run startup=0" });
      await world.start();
      await world.clock.advance(8 * SECOND);
      const why = "web.1: Startup check failed: `bin/check` answered 500 (3 times in a row)";
      assert.equal((await world.store.releases.byId(bad.id))?.failure, why);
      assert.ok(world.lines.includes(why));
    },
  },
  {
    name: "health: a dyno whose readiness fails leaves the router and comes back, with one line each way; it is not restarted",
    async play(world) {
      const { id } = await started(world, { web: "run readiness=30000-45000" }, { web: ["readiness"] });
      await world.clock.advance(12 * SECOND);
      await world.scale(id, "web", 2);
      await world.clock.advance(15 * SECOND);
      assert.deepEqual(await routed(world, id), ["web.1", "web.2"]);
      const before = await routedIds(world, id);
      world.lines.length = 0;
      await world.clock.advance(6 * SECOND);
      assert.deepEqual(await routed(world, id), ["web.2"]);
      await world.clock.advance(30 * SECOND);
      assert.deepEqual(await routedIds(world, id), before);
      assert.deepEqual(
        world.lines.filter((line) => line.startsWith("web.1")),
        [
          "web.1: Readiness check failed: GET /up answered 500 (2 times in a row); no new requests until it passes",
          "web.1: Readiness check passes again: GET /up answered 200; requests come again",
        ],
      );
    },
  },
  {
    name: "health: a dyno whose liveness fails is restarted as after a crash, and the crash policy applies",
    async play(world) {
      const { id } = await started(world, { web: "run" }, { worker: ["liveness"] });
      await world.clock.advance(12 * SECOND);
      await world.deploy(id, { web: "run", worker: "run liveness=20000" });
      await world.clock.advance(12 * SECOND);
      await world.scale(id, "worker", 1);
      await world.clock.advance(25 * SECOND);
      const restart = [
        "worker.1: Liveness check failed: `bin/check` answered 500 (2 times in a row); restarting",
        "worker.1: Stopping all processes with SIGTERM",
        "worker.1: Process exited with status 143",
        "worker.1: State changed from up to crashed",
        "worker.1: State changed from crashed to starting",
      ];
      assert.deepEqual(world.lines.filter((line) => line.startsWith("worker.1")).slice(2, 7), restart);
      assert.equal((await world.store.dynos.crashes(id))[0]?.count, 1);
      await world.clock.advance(20 * SECOND);
      const crashed = (await world.records(id)).find(({ name }) => name === "worker.1");
      assert.equal(crashed?.state, "crashed", "the second crash in a row waits 5 s");
      await world.clock.advance(5 * SECOND);
      assert.ok((await world.standing(id)).includes("worker.1 up"));
    },
  },
  {
    name: "health: who ignores SIGTERM when its liveness fails is killed after the grace, and is no longer sent requests",
    async play(world) {
      const { id } = await started(world, { web: "run liveness=20000 term=never" }, { web: ["liveness"] });
      await world.clock.advance(24 * SECOND);
      assert.deepEqual(await routed(world, id), []);
      await world.clock.advance(31 * SECOND);
      assert.ok(world.lines.some((line) => line.startsWith("web.1: Error R12")));
      assert.ok(world.lines.includes("web.1: Process exited with status 137"));
      assert.deepEqual(await routed(world, id), ["web.1"]);
    },
  },
  {
    name: "health: what happened while no daemon lived is acted on by the next one",
    async play(world) {
      const { id } = await started(world, { web: "run readiness=30000" }, { web: ["readiness"] });
      await world.clock.advance(12 * SECOND);
      world.kill();
      await world.clock.advance(60 * SECOND);
      assert.deepEqual(await routed(world, id), ["web.1"]);
      await world.start();
      await world.clock.advance(2 * SECOND);
      assert.deepEqual(await routed(world, id), []);
      assert.deepEqual(await world.standing(id), ["web.1 up"]);
    },
  },
  {
    name: "health: checks that were cleared or changed are those of dynos that start from now on",
    async play(world) {
      const { id } = await started(world, { web: "run readiness=5000" }, { web: ["readiness"] });
      await world.clock.advance(12 * SECOND);
      assert.deepEqual(await routed(world, id), []);
      await world.store.checks.clear(id, "web");
      await world.clock.advance(12 * SECOND);
      assert.deepEqual(await routed(world, id), []);
      await world.supervisor?.restart(id, { kind: "all" });
      await world.clock.advance(12 * SECOND);
      assert.deepEqual(await routed(world, id), ["web.1"]);
    },
  },
];

async function started(world: World, types: Readonly<Record<string, string>>, checks: ChecksOf = {}) {
  const app = await world.app(types, {}, checks);
  await world.start();
  return app;
}

async function routedIds(world: World, appId: string): Promise<readonly string[]> {
  const app = await world.store.apps.byId(appId);
  return routedDynos(await world.records(appId), app?.currentReleaseId ?? null).map(({ id }) => id);
}

async function routed(world: World, appId: string): Promise<readonly string[]> {
  const ids = await routedIds(world, appId);
  return (await world.records(appId)).filter(({ id }) => ids.includes(id)).map(({ name }) => name);
}
