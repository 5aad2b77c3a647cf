import assert from "node:assert/strict";
import { EngineError } from "../engine/engine.ts";
import { NO_FAULTS } from "../engine/sim/sim-engine.ts";
import { routedDynos } from "../model/dyno.ts";
import type { Release } from "../model/release.ts";
import { ROTTEN, type World } from "./simulation-world.ts";

/** A promise of the supervisor's, played through. Throws if it is not kept; so planted faults can be looked for with all of them. */
export interface Scenario {
  readonly name: string;
  readonly play: (world: World) => Promise<void>;
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
/** A clock that was set forward is noticed at the latest after this long. */
const RESYNC = 16 * MINUTE;
const HOUR = 60 * MINUTE;
const never = new AbortController().signal;

export const SCENARIOS: readonly Scenario[] = [
  {
    name: "spec 5.1: a first deploy starts one web dyno and nothing else",
    async play(world) {
      const { id } = await deployed(world, { web: "run", worker: "run" });
      assert.deepEqual(await world.standing(id), ["web.1 up"]);
      const formation = await world.store.formation.list(id);
      assert.deepEqual(formation.map(({ type, quantity }) => `${type} ${quantity}`).sort(), ["web 1", "worker 0"]);
    },
  },
  {
    name: "spec 1.3: the lines of a start, in their order; the command as it is written",
    async play(world) {
      await deployed(world, { web: "run $PORT" });
      assert.deepEqual(world.lines, [
        "web.1: Starting process with command `run $PORT`",
        "web.1: State changed from starting to up",
      ]);
    },
  },
  {
    name: "spec 1.3: web is up once it listens, others once they run",
    async play(world) {
      const { id } = await deployed(world, { web: "run listen=5000", worker: "run listen=5000" }, 20 * SECOND);
      await world.scale(id, "worker", 1);
      await world.scale(id, "web", 2);
      await world.clock.advance(2 * SECOND);
      assert.deepEqual(await world.standing(id), ["web.1 up", "web.2 starting", "worker.1 up"]);
      await world.clock.advance(5 * SECOND);
      assert.deepEqual(await world.standing(id), ["web.1 up", "web.2 up", "worker.1 up"]);
    },
  },
  {
    name: "spec 1.2, 2.3: scaling starts and stops the difference, the highest numbers first, and touches no other dyno",
    async play(world) {
      const { id } = await deployed(world, { web: "run" });
      await world.scale(id, "web", 4);
      await world.clock.advance(SECOND);
      const before = await idsByName(world, id);
      await world.scale(id, "web", 2);
      world.lines.length = 0;
      await world.clock.advance(SECOND);
      assert.deepEqual(await world.standing(id), ["web.1 up", "web.2 up"]);
      assert.deepEqual(await idsByName(world, id), new Map([...before].filter(([name]) => name < "web.3")));
      assert.deepEqual(
        world.lines.filter((line) => line.startsWith("web.4")),
        [
          "web.4: State changed from up to down",
          "web.4: Stopping all processes with SIGTERM",
          "web.4: Process exited with status 143",
        ],
      );
    },
  },
  {
    name: "spec 2.3: a changed size restarts the dynos of its type, and no others",
    async play(world) {
      const { id } = await deployed(world, { web: "run", worker: "run" });
      await world.scale(id, "worker", 1);
      await world.clock.advance(SECOND);
      const before = await idsByName(world, id);
      await world.scale(id, "web", 1, "Standard-2X");
      await world.clock.advance(SECOND);
      const after = await idsByName(world, id);
      assert.notEqual(after.get("web.1"), before.get("web.1"));
      assert.equal(after.get("worker.1"), before.get("worker.1"));
      assert.deepEqual(world.engine.live.map(({ spec }) => spec.size).sort(), ["Basic", "Standard-2X"]);
    },
  },
  {
    name: "spec 3.4: any exit of a formation dyno is a crash; it is started at once, then after 5, 10, 20 s",
    async play(world) {
      const { id } = await deployed(world, { web: "run", worker: "run" });
      const starts = startsOf(world, "worker.1");
      await world.scale(id, "worker", 1);
      await world.clock.advance(SECOND);
      for (const wait of [0, 5, 10, 20]) {
        const dyno = world.engine.live.find(({ spec }) => spec.name === "worker.1");
        assert.ok(dyno, `lives before the wait of ${wait} s`);
        world.engine.exit(dyno.spec.id, 0);
        await world.clock.advance(wait * SECOND - 200);
        if (wait > 0) assert.equal((await recordOf(world, id, "worker.1"))?.state, "crashed");
        await world.clock.advance(SECOND);
      }
      assert.equal(starts(), 5);
      assert.deepEqual(world.lines.filter((line) => line.startsWith("worker.1")).slice(0, 6), [
        "worker.1: Starting process with command `run`",
        "worker.1: State changed from starting to up",
        "worker.1: Process exited with status 0",
        "worker.1: State changed from up to crashed",
        "worker.1: State changed from crashed to starting",
        "worker.1: Starting process with command `run`",
      ]);
    },
  },
  {
    name: "spec 3.4: crash counts outlive the daemon; a manual restart forgets them",
    async play(world) {
      const { id } = await deployed(world, { web: "run" });
      for (let crash = 0; crash < 4; crash++) {
        await crashByName(world, "web.1");
        await world.clock.advance(25 * SECOND);
      }
      await crashByName(world, "web.1");
      await world.clock.advance(SECOND);
      world.kill();
      await world.start();
      await world.clock.advance(10 * SECOND);
      assert.equal((await recordOf(world, id, "web.1"))?.state, "crashed");
      const due = (await world.supervisor?.nextStarts(id))?.["web.1"] ?? 0;
      assert.ok(Math.abs(due - world.clock.now() - 29 * SECOND) < 2 * SECOND, `due in ${due - world.clock.now()} ms`);
      await world.supervisor?.restart(id, { kind: "all" });
      await world.clock.advance(SECOND);
      assert.deepEqual(await world.standing(id), ["web.1 up"]);
      assert.deepEqual(await world.store.dynos.crashes(id), []);
    },
  },
  {
    name: "spec 3.4: a lost dyno is no crash: it is replaced at once, and the next crash is the first",
    async play(world) {
      const { id } = await deployed(world, { web: "run" });
      for (let loss = 0; loss < 3; loss++) {
        world.engine.killHost();
        await world.clock.advance(SECOND);
        assert.deepEqual(await world.standing(id), ["web.1 up"]);
      }
      assert.deepEqual(await world.store.dynos.crashes(id), []);
    },
  },
  {
    name: "spec 3.4: scaling to 0 forgets crashes and says so",
    async play(world) {
      const { id } = await deployed(world, { web: "run" });
      await crashByName(world, "web.1");
      await world.clock.advance(SECOND);
      await crashByName(world, "web.1");
      await world.clock.advance(SECOND);
      await world.scale(id, "web", 0);
      await world.clock.advance(SECOND);
      assert.deepEqual(await world.store.dynos.crashes(id), []);
      assert.deepEqual(await world.records(id), []);
      assert.equal(world.lines.at(-1), "web.1: State changed from crashed to down");
    },
  },
  {
    name: "spec 3.4: heroku: the second crash in a row waits 20 minutes",
    async play(world) {
      const app = await world.app({ web: "run" }, { restartPolicy: "heroku" });
      await world.start();
      await world.clock.advance(2 * SECOND);
      await crashByName(world, "web.1");
      await world.clock.advance(SECOND);
      assert.deepEqual(await world.standing(app.id), ["web.1 up"]);
      await crashByName(world, "web.1");
      await world.clock.advance(19 * MINUTE);
      assert.deepEqual(await world.standing(app.id), []);
      await world.clock.advance(MINUTE + SECOND);
      assert.deepEqual(await world.standing(app.id), ["web.1 up"]);
    },
  },
  {
    name: "spec 3.2: R10 after 60 s without a listener, then the crash policy",
    async play(world) {
      const { id } = await deployed(world, { web: "run listen=100" });
      world.lines.length = 0;
      const slow = await world.deploy(id, { web: "run listen=never" });
      await world.clock.advance(59 * SECOND);
      assert.equal((await world.store.releases.byId(slow.id))?.status, "pending");
      await world.clock.advance(3 * SECOND);
      assert.deepEqual(
        world.lines.filter((line) => line.startsWith("web.1")),
        [
          "web.1: Restarting",
          "web.1: State changed from up to starting",
          "web.1: Starting process with command `run listen=never`",
          "web.1: Error R10 (Boot timeout) -> Web process failed to bind to $PORT within 60 seconds of launch",
          "web.1: Stopping process with SIGKILL",
          "web.1: Process exited with status 137",
          "web.1: State changed from starting to crashed",
        ],
      );
      assert.equal(
        (await world.store.releases.byId(slow.id))?.failure,
        "web.1 did not bind to $PORT within 60 seconds (R10)",
      );
      assert.deepEqual(await world.standing(id), ["web.1 up"]);
    },
  },
  {
    name: "spec 3.2, 3.3: boot timeout and grace are the app's own, and R10 and R12 say its numbers",
    async play(world) {
      const { id } = await deployed(world, { web: "run", worker: "run term=never" });
      await world.store.apps.update(id, { bootTimeoutSeconds: 90, stopGraceSeconds: 5 });
      await world.scale(id, "worker", 1);
      await world.clock.advance(SECOND);
      await world.scale(id, "worker", 0);
      await world.clock.advance(4 * SECOND);
      assert.equal(world.engine.live.length, 2);
      await world.clock.advance(2 * SECOND);
      assert.equal(world.engine.live.length, 1);
      const slow = await world.deploy(id, { web: "run listen=never" });
      await world.clock.advance(89 * SECOND);
      assert.equal((await world.store.releases.byId(slow.id))?.status, "pending");
      await world.clock.advance(3 * SECOND);
      const { failure } = (await world.store.releases.byId(slow.id)) ?? assert.fail();
      assert.equal(failure, "web.1 did not bind to $PORT within 90 seconds (R10)");
      for (const line of [
        "worker.1: Error R12 (Exit timeout) -> At least one process failed to exit within 5 seconds of SIGTERM",
        "web.1: Error R10 (Boot timeout) -> Web process failed to bind to $PORT within 90 seconds of launch",
      ]) {
        assert.ok(world.lines.includes(line), line);
      }
    },
  },
  {
    name: "spec 6.2: R17: a slug that is not what was built is never launched, and is not tried again and again",
    async play(world) {
      const { id } = await deployed(world, { web: "run" });
      const digest = world.engine.live[0]?.spec.slugDigest ?? assert.fail();
      world.slugsRot = true;
      world.engine.wipeHost();
      world.lines.length = 0;
      await world.clock.advance(4 * MINUTE);
      assert.deepEqual(world.lines.filter((line) => line.startsWith("web.1")).slice(-2), [
        `web.1: Error R17 (Checksum error) -> Checksum does match expected value. Expected: SHA256:${digest} Actual: SHA256:${ROTTEN}`,
        "web.1: State changed from starting to crashed",
      ]);
      assert.equal(world.lines.filter((line) => line.includes("R17")).length, 1);
      assert.deepEqual(world.engine.dynos, []);
      const due = (await world.supervisor?.nextStarts(id))?.["web.1"] ?? 0;
      assert.ok(due > world.clock.now(), "the API shows when it is tried again");
      world.slugsRot = false;
      await world.supervisor?.restart(id, { kind: "all" });
      await world.clock.advance(SECOND);
      assert.deepEqual(await world.standing(id), ["web.1 up"]);
    },
  },
  {
    name: "launch: an image that is never made holds up no other app, and its own release fails",
    async play(world) {
      const { id } = await deployed(world, { web: "run" });
      const other = await world.app({ web: "run" });
      await world.scale(id, "web", 5);
      await world.clock.advance(SECOND);
      const before = await idsByName(world, id);
      world.imageless = id;
      const release = await world.deploy(id, { web: "run other" });
      await world.clock.advance(SECOND);
      await world.scale(other.id, "web", 3);
      await world.clock.advance(SECOND);
      assert.deepEqual(await world.standing(other.id), ["web.1 up", "web.2 up", "web.3 up"]);
      await world.clock.advance(20 * MINUTE);
      assert.equal((await world.store.releases.byId(release.id))?.status, "failed");
      assert.deepEqual(await idsByName(world, id), before);
    },
  },
  {
    name: "spec 6.2: R17 fails a release, with a reason; a one-off dyno of it ends",
    async play(world) {
      const { id } = await deployed(world, { web: "run" });
      const before = await idsByName(world, id);
      world.slugsRot = true;
      world.kill(); // the next daemon asks for images anew
      await world.start();
      const release = await world.deploy(id, { web: "run other" });
      const run = await world.run(id, "run");
      await world.clock.advance(5 * SECOND);
      const { status, failure } = (await world.store.releases.byId(release.id)) ?? assert.fail();
      assert.equal(status, "failed");
      assert.equal(failure, "web.1 was not launched: what is kept of the slug is not what was built (R17)");
      assert.deepEqual(await idsByName(world, id), before);
      assert.equal((await world.store.dynos.byId(run.id))?.state, "complete");
      assert.ok(world.lines.includes(`${run.name}: State changed from starting to complete`));
    },
  },
  {
    name: "spec 3.3: SIGTERM, 30 s of grace, R12, SIGKILL",
    async play(world) {
      const { id } = await deployed(world, { web: "run", worker: "run term=never" });
      await world.scale(id, "worker", 1);
      await world.clock.advance(SECOND);
      world.lines.length = 0;
      await world.scale(id, "worker", 0);
      await world.clock.advance(29 * SECOND);
      assert.equal(world.engine.live.length, 2);
      await world.clock.advance(2 * SECOND);
      assert.equal(world.engine.live.length, 1);
      assert.deepEqual(world.lines, [
        "worker.1: State changed from up to down",
        "worker.1: Stopping all processes with SIGTERM",
        "worker.1: Error R12 (Exit timeout) -> At least one process failed to exit within 30 seconds of SIGTERM",
        "worker.1: Stopping remaining processes with SIGKILL",
        "worker.1: Process exited with status 137",
      ]);
      assert.equal(world.engine.dynos.length, 1);
      assert.equal((await world.records(id)).length, 1);
    },
  },
  {
    name: "spec 3.3: on restart the replacement starts when SIGTERM is sent, under the same name",
    async play(world) {
      const { id } = await deployed(world, { web: "run term=20000" });
      world.lines.length = 0;
      await world.supervisor?.restart(id, { kind: "dyno", name: "web.1" });
      await world.clock.advance(SECOND);
      assert.equal(world.engine.live.length, 2);
      assert.deepEqual(await world.standing(id), ["web.1 up"]);
      await world.clock.advance(25 * SECOND);
      assert.deepEqual(world.lines, [
        "web.1: Restarting",
        "web.1: State changed from up to starting",
        "web.1: Stopping all processes with SIGTERM",
        "web.1: Starting process with command `run term=20000`",
        "web.1: State changed from starting to up",
        "web.1: Process exited with status 143",
      ]);
      assert.deepEqual(await world.standing(id), ["web.1 up"]);
    },
  },
  {
    name: "spec 1.3, 10.3: an app that sleeps has no dynos, whatever is due; it wakes by a request, a release, a scaling, a restart",
    async play(world) {
      const { id } = await deployed(world, { web: "run", worker: "run" });
      await world.scale(id, "worker", 1);
      await world.clock.advance(2 * SECOND);
      for (const wake of ["request", "release", "scaling", "restart"] as const) {
        const before = world.lines.length;
        await world.store.apps.sleep(id);
        await world.clock.advance(HOUR);
        assert.deepEqual(await world.standing(id), [], wake);
        const idle = await world.supervisor?.idleDynos(id);
        assert.deepEqual(
          idle?.map(({ name, state }) => `${name} ${state}`),
          ["web.1 idle", "worker.1 idle"],
        );
        assert.deepEqual(
          world.lines.slice(before).filter((line) => line.startsWith("worker.1: ")),
          [
            "Idling",
            "State changed from up to down",
            "Stopping all processes with SIGTERM",
            "Process exited with status 143",
          ].map((text) => `worker.1: ${text}`),
        );
        if (wake === "request") assert.equal(await world.store.apps.wake(id), true);
        if (wake === "release") await world.deploy(id, { web: "run new", worker: "run new" });
        if (wake === "scaling") await world.scale(id, "web", 1);
        if (wake === "restart") await world.supervisor?.restart(id, { kind: "dyno", name: "web.1" });
        await world.clock.advance(MINUTE);
        assert.deepEqual(await world.standing(id), ["web.1 up", "worker.1 up"], wake);
        assert.equal((await world.store.apps.byId(id))?.asleepSince, null);
        assert.deepEqual(await world.supervisor?.idleDynos(id), []);
      }
    },
  },
  {
    name: "spec 3.3: a dyno that does not end when its app is put to sleep is killed, though the app wakes up meanwhile",
    async play(world) {
      const { id } = await deployed(world, { web: "run term=never" });
      await world.store.apps.sleep(id);
      await world.clock.advance(5 * SECOND);
      world.lines.length = 0;
      await world.store.apps.wake(id);
      await world.clock.advance(5 * SECOND);
      assert.deepEqual(await world.standing(id), ["web.1 up"]);
      assert.equal(world.engine.live.length, 2);
      await world.clock.advance(MINUTE);
      assert.equal(world.engine.live.length, 1);
      assert.ok(world.lines.includes("web.1: Process exited with status 137"), world.lines.join("\n"));
      assert.equal((await world.records(id)).length, 1);
    },
  },
  {
    name: "spec 1.3, 10.3: of an app that sleeps idle dynos can be restarted, which wakes it, and stopped, which changes nothing; a one-off wakes nothing",
    async play(world) {
      const { id } = await deployed(world, { web: "run", worker: "run" });
      await world.scale(id, "worker", 1);
      const oneOff = await world.run(id, "run");
      await world.clock.advance(2 * SECOND);
      const { supervisor, store } = world;
      const isAsleep = async () => (await store.apps.byId(id))?.asleepSince !== null;
      for (const which of [
        { kind: "all" },
        { kind: "type", type: "worker" },
        { kind: "dyno", name: "worker.1" },
      ] as const) {
        await store.apps.sleep(id);
        await world.clock.advance(MINUTE);
        const name = `${oneOff.name} up`;
        await assert.rejects(async () => supervisor?.restart(id, { kind: "dyno", name: oneOff.name }), /Couldn't find/);
        await supervisor?.restart(id, { kind: "type", type: "run" });
        if (which.kind !== "all") await supervisor?.stop(id, which);
        for (const what of ["restart", "stop"] as const)
          await assert.rejects(async () => supervisor?.[what](id, { kind: "dyno", name: "web.2" }), /Couldn't find/);
        await world.clock.advance(MINUTE);
        assert.deepEqual([await isAsleep(), await world.standing(id)], [true, [name]]);
        await supervisor?.restart(id, which);
        await world.clock.advance(MINUTE);
        assert.deepEqual([await isAsleep(), await world.standing(id)], [false, [name, "web.1 up", "worker.1 up"]]);
      }
    },
  },
  {
    name: "spec 1.3: a restart of what is starting, and of what has crashed: only states that change are told",
    async play(world) {
      const { id } = await deployed(world, { web: "run listen=5000" });
      await world.supervisor?.restart(id, { kind: "all" });
      await world.clock.advance(SECOND);
      world.lines.length = 0;
      await world.supervisor?.restart(id, { kind: "type", type: "web" });
      await world.clock.advance(SECOND);
      assert.equal(world.lines[0], "web.1: Restarting");
      assert.ok(!world.lines.some((line) => line.includes("from starting to starting")));
      await world.clock.advance(6 * SECOND);
      for (let crash = 0; crash < 2; crash++) {
        await crashByName(world, "web.1");
        await world.clock.advance(SECOND);
      }
      world.lines.length = 0;
      await world.supervisor?.restart(id, { kind: "dyno", name: "web.1" });
      await world.clock.advance(SECOND);
      assert.deepEqual(world.lines, [
        "web.1: State changed from crashed to starting",
        "web.1: Starting process with command `run listen=5000`",
      ]);
    },
  },
  {
    name: "spec 3.3: no dyno gets SIGTERM while requests go to it; a router that is away holds up a stop for seconds only",
    async play(world) {
      const { id } = await deployed(world, { web: "run" });
      await world.scale(id, "web", 3);
      await world.clock.advance(SECOND);
      world.routed.set(
        id,
        world.engine.live.map(({ spec }) => spec.id),
      );
      await world.supervisor?.restart(id, { kind: "type", type: "web" });
      await world.clock.advance(SECOND);
      assert.deepEqual(world.broken, []);
      world.routerFails = () => true;
      world.routed.clear();
      await world.supervisor?.restart(id, { kind: "all" });
      await world.clock.advance(7 * SECOND);
      assert.equal(world.engine.live.length, 6);
      await world.clock.advance(2 * SECOND);
      assert.equal(world.engine.live.length, 3);
    },
  },
  {
    name: "spec 3.9, 17.9: a stopped formation dyno comes back; a stopped one-off does not; a restart leaves it alone",
    async play(world) {
      const { id } = await deployed(world, { web: "run" });
      const run = await world.run(id, "run");
      await world.clock.advance(SECOND);
      await world.supervisor?.restart(id, { kind: "all" });
      await world.clock.advance(SECOND);
      assert.deepEqual(await world.standing(id), [`${run.name} up`, "web.1 up"].sort());
      await assert.rejects(
        world.supervisor?.restart(id, { kind: "dyno", name: run.name }) ?? Promise.resolve(),
        /Couldn't find/,
      );
      const before = await idsByName(world, id);
      await world.supervisor?.stop(id, { kind: "all" });
      await world.clock.advance(2 * SECOND);
      assert.deepEqual(await world.standing(id), ["web.1 up"]);
      assert.notEqual((await idsByName(world, id)).get("web.1"), before.get("web.1"));
      assert.deepEqual((await world.store.dynos.byId(run.id))?.exit?.status, 143);
      await assert.rejects(
        world.supervisor?.stop(id, { kind: "dyno", name: "web.9" }) ?? Promise.resolve(),
        /Couldn't find/,
      );
    },
  },
  {
    name: "rollout: the old release serves until every dyno of the new one is up, then leaves",
    async play(world) {
      const { id } = await deployed(world, { web: "run listen=100 old", worker: "run old" });
      await world.scale(id, "web", 2);
      await world.scale(id, "worker", 1);
      await world.clock.advance(SECOND);
      const old = new Set(world.engine.live.map(({ spec }) => spec.id));
      const release = await world.deploy(id, { web: "run listen=3000 new", worker: "run new" });
      const settled = settledStatus(world, release);
      await world.clock.advance(9 * SECOND); // web listens, but the worker must run for 10 s
      assert.equal(world.engine.live.filter(({ spec }) => old.has(spec.id)).length, 3);
      assert.equal(world.engine.live.length, 6);
      const app = await world.store.apps.byId(id);
      const routed = routedDynos(await world.records(id), app?.currentReleaseId ?? null);
      assert.ok(routed.length === 2 && routed.every((dyno) => old.has(dyno.id)));
      await world.clock.advance(3 * SECOND);
      assert.deepEqual(await now(settled), { status: "succeeded", failure: null });
      assert.deepEqual(await world.standing(id), ["web.1 up", "web.2 up", "worker.1 up"]);
      assert.ok(world.engine.live.every(({ spec }) => spec.command.endsWith("new")));
      assert.equal((await world.store.apps.byId(id))?.currentReleaseId, release.id);
      assert.deepEqual(world.broken, []);
    },
  },
  {
    name: "rollout: a release whose dyno ends has failed with a sentence; what ran before is untouched",
    async play(world) {
      const { id } = await deployed(world, { web: "run", worker: "run" });
      await world.scale(id, "worker", 1);
      await world.clock.advance(SECOND);
      const before = await idsByName(world, id);
      const release = await world.deploy(id, { web: "run", worker: "run exit=8000/3" });
      const settled = settledStatus(world, release);
      await world.clock.advance(20 * SECOND);
      assert.deepEqual(await now(settled), {
        status: "failed",
        failure: "worker.1 exited with status 3 before it came up",
      });
      assert.deepEqual(await idsByName(world, id), before);
      assert.deepEqual(await world.standing(id), ["web.1 up", "worker.1 up"]);
      assert.equal(world.engine.dynos.length, 2);
      assert.deepEqual(await world.store.dynos.crashes(id), []);
      assert.ok(
        world.lines.includes("api: Release v4 failed: worker.1 exited with status 3 before it came up. v3 stays."),
      );
    },
  },
  {
    name: "rollout: stop-start: all dynos restart together, in the captured order of lines",
    async play(world) {
      const { id } = await deployed(world, { web: "run term=5000 old", worker: "run old" });
      await world.store.apps.update(id, { rollout: "stop-start" });
      await world.scale(id, "web", 2);
      await world.scale(id, "worker", 1);
      await world.clock.advance(SECOND);
      world.lines.length = 0;
      const release = await world.deploy(id, { web: "run listen=3000 new", worker: "run new" });
      await world.clock.advance(SECOND);
      assert.ok(world.engine.live.some(({ spec }) => spec.command.endsWith("new")));
      const kept = (await world.records(id)).filter((each) => each.releaseId !== release.id && each.stopping === null);
      assert.deepEqual(kept, [], "no old dyno stays");
      assert.deepEqual(
        world.lines.filter((line) => line.startsWith("web.1")),
        [
          "web.1: Restarting",
          "web.1: State changed from up to starting",
          "web.1: Stopping all processes with SIGTERM",
          "web.1: Starting process with command `run listen=3000 new`",
        ],
      );
      await world.clock.advance(12 * SECOND);
      assert.equal((await world.store.releases.byId(release.id))?.status, "succeeded");
      assert.deepEqual(await world.standing(id), ["web.1 up", "web.2 up", "worker.1 up"]);
      assert.ok(world.engine.live.every(({ spec }) => spec.command.endsWith("new")));
      assert.deepEqual(world.broken, []);
    },
  },
  {
    name: "rollout: stop-start that does not come up: the old release is started again, and it is said",
    async play(world) {
      const { id } = await deployed(world, { web: "run old" });
      await world.store.apps.update(id, { rollout: "stop-start" });
      const release = await world.deploy(id, { web: "run exit=100/1 new" });
      await world.clock.advance(5 * SECOND);
      assert.equal((await world.store.releases.byId(release.id))?.status, "failed");
      assert.deepEqual(await world.standing(id), ["web.1 up"]);
      assert.equal(world.engine.live[0]?.spec.command, "run old");
      assert.ok(
        world.lines.includes(
          "api: Release v4 failed: web.1 exited with status 1 before it came up. v3 is started again.",
        ),
      );
    },
  },
  {
    name: "spec 3.7: preboot: requests move two minutes after the boot timeout; workers restart at once",
    async play(world) {
      const { id } = await deployed(world, { web: "run old", worker: "run old" });
      await world.store.apps.update(id, { rollout: "preboot", bootTimeoutSeconds: 30 });
      await world.scale(id, "worker", 1);
      await world.clock.advance(SECOND);
      const old = await idsByName(world, id);
      const release = await world.deploy(id, { web: "run new", worker: "run new" });
      await world.clock.advance(2 * SECOND);
      assert.notEqual((await idsByName(world, id)).get("worker.1"), old.get("worker.1"));
      assert.equal(world.engine.live.filter(({ spec }) => spec.command === "run old").length, 1);
      await world.clock.advance(145 * SECOND);
      assert.equal((await world.store.releases.byId(release.id))?.status, "pending");
      const app = await world.store.apps.byId(id);
      const routed = routedDynos(await world.records(id), app?.currentReleaseId ?? null);
      assert.deepEqual(
        routed.map((dyno) => dyno.id),
        [old.get("web.1")],
      );
      await world.clock.advance(5 * SECOND);
      assert.equal((await world.store.releases.byId(release.id))?.status, "succeeded");
      assert.deepEqual(world.engine.live.map(({ spec }) => `${spec.name} ${spec.command}`).sort(), [
        "web.1 run new",
        "worker.1 run new",
      ]);
      assert.deepEqual(world.broken, []);
    },
  },
  {
    name: "spec 3.7: preboot: the app says how long after the boot timeout requests move",
    async play(world) {
      const { id } = await deployed(world, { web: "run old" });
      await world.store.apps.update(id, { rollout: "preboot", bootTimeoutSeconds: 30, prebootDelaySeconds: 15 });
      const release = await world.deploy(id, { web: "run new" });
      await world.clock.advance(43 * SECOND);
      assert.equal((await world.store.releases.byId(release.id))?.status, "pending");
      await world.clock.advance(4 * SECOND);
      assert.equal((await world.store.releases.byId(release.id))?.status, "succeeded");
    },
  },
  {
    name: "spec 3.7: preboot: an app that slept does not wait for requests to move",
    async play(world) {
      const { id } = await deployed(world, { web: "run old" });
      await world.store.apps.update(id, { rollout: "preboot", sleepAfterMinutes: 30 });
      await world.store.apps.sleep(id);
      await world.clock.advance(MINUTE);
      assert.equal(world.engine.live.length, 0);
      const release = await world.deploy(id, { web: "run new" });
      await world.clock.advance(10 * SECOND);
      assert.equal((await world.store.releases.byId(release.id))?.status, "succeeded");
      await world.clock.advance(MINUTE);
      assert.deepEqual(
        world.engine.live.map(({ spec }) => spec.command),
        ["run new"],
      );
    },
  },
  {
    name: "spec 3.7: preboot: a web dyno that ends before the switch fails the release; the old one never left",
    async play(world) {
      const { id } = await deployed(world, { web: "run old" });
      await world.store.apps.update(id, { rollout: "preboot" });
      const before = await idsByName(world, id);
      const release = await world.deploy(id, { web: "run exit=90000/1 new" });
      await world.clock.advance(2 * MINUTE);
      assert.equal((await world.store.releases.byId(release.id))?.status, "failed");
      assert.deepEqual(await idsByName(world, id), before);
    },
  },
  {
    name: "spec 3.5: a day and up to 216 minutes after its start a dyno is cycled, one of a type at a time",
    async play(world) {
      const { id } = await deployed(world, { web: "run listen=2000", worker: "run" });
      await world.store.apps.update(id, { dailyCycling: true });
      await world.scale(id, "web", 3);
      await world.scale(id, "worker", 1);
      await world.clock.advance(5 * SECOND);
      const before = await idsByName(world, id);
      world.lines.length = 0;
      world.clock.jump(24 * HOUR - RESYNC - MINUTE);
      await world.clock.advance(RESYNC);
      assert.deepEqual(await idsByName(world, id), before);
      assert.equal(world.lines.length, 0);
      world.clock.jump(217 * MINUTE); // all are due at once
      let fewest = 9;
      await world.clock.advance(RESYNC, async () => {
        fewest = Math.min(fewest, (await world.standing(id)).filter((each) => /^web.*up$/.test(each)).length);
      });
      assert.equal(fewest, 2);
      const after = await idsByName(world, id);
      assert.ok([...before].every(([name, dyno]) => after.get(name) !== dyno) && after.size === 4);
      assert.deepEqual(
        world.lines.filter((line) => line.startsWith("web.1")),
        [
          "web.1: Cycling",
          "web.1: State changed from up to starting",
          "web.1: Stopping all processes with SIGTERM",
          "web.1: Starting process with command `run listen=2000`",
          "web.1: Process exited with status 143",
          "web.1: State changed from starting to up",
        ],
      );
      assert.deepEqual(await world.store.dynos.crashes(id), []);
    },
  },
  {
    name: "spec 3.5: cycling is off until it is turned on",
    async play(world) {
      const { id } = await deployed(world, { web: "run" });
      const before = await idsByName(world, id);
      world.clock.jump(72 * HOUR);
      await world.clock.advance(RESYNC);
      assert.deepEqual(await idsByName(world, id), before);
    },
  },
  {
    name: "spec 3.5: a restart and a release begin a new day",
    async play(world) {
      const { id } = await deployed(world, { web: "run" });
      await world.store.apps.update(id, { dailyCycling: true });
      for (const reset of [
        () => world.supervisor?.restart(id, { kind: "all" }),
        () => world.deploy(id, { web: `run ${world.clock.now()}` }),
      ]) {
        world.clock.jump(23 * HOUR);
        await reset();
        await world.clock.advance(15 * SECOND);
        const before = await idsByName(world, id);
        world.clock.jump(23 * HOUR);
        await world.clock.advance(MINUTE);
        assert.deepEqual(await idsByName(world, id), before);
      }
      assert.ok(!world.lines.includes("web.1: Cycling"));
    },
  },
  {
    name: "rollout: without room, a release waits for old dynos that leave, however long their grace is",
    async play(world) {
      const { id } = await deployed(world, { web: "run term=200000 old" });
      await world.store.apps.update(id, { rollout: "stop-start", stopGraceSeconds: 300 });
      world.engine.capacity = 1;
      const release = await world.deploy(id, { web: "run new" });
      await world.clock.advance(3 * MINUTE);
      assert.equal((await world.store.releases.byId(release.id))?.status, "pending");
      await world.clock.advance(2 * MINUTE);
      assert.equal((await world.store.releases.byId(release.id))?.status, "succeeded");
      assert.deepEqual(await world.standing(id), ["web.1 up"]);
    },
  },
  {
    name: "rollout: one by one, with boots that take longer than a host may refuse a dyno",
    async play(world) {
      const { id } = await deployed(world, { web: "run listen=100 old" });
      await world.scale(id, "web", 3);
      await world.clock.advance(SECOND);
      world.engine.capacity = 3;
      const release = await world.deploy(id, { web: "run listen=45000 new" });
      await world.clock.advance(5 * MINUTE);
      assert.equal((await world.store.releases.byId(release.id))?.status, "succeeded");
      assert.deepEqual(await world.standing(id), ["web.1 up", "web.2 up", "web.3 up"]);
    },
  },
  {
    name: "rollout: config vars of a release that failed stay for the next one",
    async play(world) {
      const { id } = await deployed(world, { web: "run" });
      await world.store.config.change(id, { KEPT: "yes" });
      const bad = await world.deploy(id, { web: "run exit=50/1" });
      await world.clock.advance(5 * SECOND);
      assert.equal((await world.store.releases.byId(bad.id))?.status, "failed");
      assert.equal(world.engine.live[0]?.spec.env["KEPT"], undefined);
      await world.deploy(id, { web: "run again" });
      await world.clock.advance(5 * SECOND);
      assert.equal(world.engine.live[0]?.spec.env["KEPT"], "yes");
    },
  },
  {
    name: "rollout: who waits for a release hears of each old dyno that makes room for it",
    async play(world) {
      const { id } = await deployed(world, { web: "run old" });
      await world.scale(id, "web", 2);
      await world.clock.advance(SECOND);
      world.engine.capacity = 2;
      const release = await world.deploy(id, { web: "run new" });
      const heard: string[] = [];
      const settled = later(world.supervisor?.settled(release.id, never, (name) => heard.push(name)));
      await world.clock.advance(MINUTE);
      assert.equal((await now(settled))?.status, "succeeded");
      assert.deepEqual(heard.sort(), ["web.1", "web.2"]);
    },
  },
  {
    name: "rollout: a first deploy that does not come up fails, and nothing of it stays",
    async play(world) {
      const app = await world.app({ web: "run exit=100/127" });
      await world.start();
      await world.clock.advance(2 * SECOND);
      const release = await world.store.releases.newest(app.id);
      assert.equal(release?.status, "failed");
      assert.equal(release?.failure, "web.1 exited with status 127 before it came up");
      assert.deepEqual(world.engine.dynos, []);
      assert.deepEqual(await world.records(app.id), []);
    },
  },
  {
    name: "rollout: with no dyno wanted a release succeeds at once",
    async play(world) {
      const app = await world.app({ worker: "run" });
      await world.start();
      await world.clock.advance(SECOND);
      assert.equal((await world.store.releases.newest(app.id))?.status, "succeeded");
      assert.deepEqual(world.engine.dynos, []);
    },
  },
  {
    name: "spec 5.3: a newer pending release takes over from an older one, which is expired",
    async play(world) {
      const { id } = await deployed(world, { web: "run old" });
      const first = await world.deploy(id, { web: "run listen=30000 first" });
      await world.clock.advance(5 * SECOND);
      const second = await world.deploy(id, { web: "run second" });
      await world.clock.advance(5 * SECOND);
      assert.equal((await world.store.releases.byId(first.id))?.status, "expired");
      assert.equal((await world.store.releases.byId(second.id))?.status, "succeeded");
      assert.deepEqual(
        world.engine.dynos.map(({ spec }) => spec.command),
        ["run second"],
      );
    },
  },
  {
    name: "spec 5.1: types that vanish from the Procfile lose their dynos",
    async play(world) {
      const { id } = await deployed(world, { web: "run", worker: "run" });
      await world.scale(id, "worker", 2);
      await world.clock.advance(SECOND);
      await world.deploy(id, { web: "run", clock: "run" });
      await world.clock.advance(15 * SECOND);
      assert.deepEqual(await world.standing(id), ["web.1 up"]);
      assert.deepEqual((await world.store.formation.list(id)).map(({ type }) => type).sort(), ["clock", "web"]);
    },
  },
  {
    name: "rollout: without room for both, old dynos make room one by one, and it is said",
    async play(world) {
      const { id } = await deployed(world, { web: "run old" });
      await world.scale(id, "web", 3);
      await world.clock.advance(SECOND);
      world.engine.capacity = 4;
      const release = await world.deploy(id, { web: "run new" });
      let fewest = 9;
      await world.clock.advance(2 * MINUTE, () => {
        const up = world.engine.live.filter(({ state }) => state.kind === "running" && state.listening);
        fewest = Math.min(fewest, up.length);
      });
      assert.equal((await world.store.releases.byId(release.id))?.status, "succeeded");
      assert.deepEqual(await world.standing(id), ["web.1 up", "web.2 up", "web.3 up"]);
      assert.ok(fewest >= 2, `only ${fewest} up`);
      assert.ok(world.lines.some((line) => /No room to start the new release beside this dyno/.test(line)));
    },
  },
  {
    name: "rollout: with room for none of the new, stop then start; if that fails the old comes back",
    async play(world) {
      const { id } = await deployed(world, { web: "run old" });
      world.engine.capacity = 1;
      const good = await world.deploy(id, { web: "run good" });
      await world.clock.advance(MINUTE);
      assert.equal((await world.store.releases.byId(good.id))?.status, "succeeded");
      const bad = await world.deploy(id, { web: "run exit=50/1" });
      await world.clock.advance(2 * MINUTE);
      assert.equal((await world.store.releases.byId(bad.id))?.status, "failed");
      assert.deepEqual(await world.standing(id), ["web.1 up"]);
      assert.equal(world.engine.live[0]?.spec.command, "run good");
    },
  },
  {
    name: "rollout: a release that finds no room at all fails after a minute",
    async play(world) {
      world.engine.capacity = 0;
      const app = await world.app({ web: "run" });
      await world.start();
      await world.clock.advance(3 * MINUTE);
      const release = await world.store.releases.newest(app.id);
      assert.equal(release?.status, "failed");
      assert.equal(release?.failure, "web.1 could not be started: no room for it on this host");
      assert.ok(world.lines.some((line) => line.startsWith("web.1: Error R99 (Platform error) -> ")));
    },
  },
  {
    name: "a scaled-up app without room gets its dynos once there is room",
    async play(world) {
      const { id } = await deployed(world, { web: "run" });
      world.engine.capacity = 2;
      await world.scale(id, "web", 3);
      await world.clock.advance(MINUTE);
      assert.deepEqual(await world.standing(id), ["web.1 up", "web.2 up"]);
      world.engine.capacity = 3;
      await world.clock.advance(2 * MINUTE);
      assert.deepEqual(await world.standing(id), ["web.1 up", "web.2 up", "web.3 up"]);
    },
  },
  {
    name: "spec 3.9: a one-off dyno runs once; its exit status is kept",
    async play(world) {
      const { id } = await deployed(world, { web: "run" });
      world.lines.length = 0;
      const run = await world.run(id, "run exit=2000/7");
      const starts = startsOf(world, run.name);
      const exited = later(world.supervisor?.exited(run.id, never));
      await world.clock.advance(MINUTE);
      assert.equal(await now(exited), 7);
      assert.equal(starts(), 1);
      assert.deepEqual(world.lines, [
        `${run.name}: Starting process with command \`run exit=2000/7\``,
        `${run.name}: State changed from starting to up`,
        `${run.name}: Process exited with status 7`,
        `${run.name}: State changed from up to complete`,
      ]);
      assert.equal((await world.store.dynos.byId(run.id))?.state, "complete");
      assert.equal(world.engine.dynos.length, 1);
    },
  },
  {
    name: "spec 3.9: an attached one-off waits for its client, and R13 comes after 30 s",
    async play(world) {
      const { id } = await deployed(world, { web: "run" });
      world.lines.length = 0;
      const run = await world.run(id, "run", { attach: true, awaiting: true });
      const exited = later(world.supervisor?.exited(run.id, never));
      await world.clock.advance(29 * SECOND);
      assert.equal(world.engine.live.length, 1);
      await world.clock.advance(2 * SECOND);
      assert.equal(await now(exited), null);
      assert.deepEqual(world.lines, [
        `${run.name}: Awaiting client`,
        `${run.name}: Error R13 (Attach error) -> Failed to attach to process`,
        `${run.name}: Process exited`,
        `${run.name}: State changed from starting to complete`,
      ]);
      const second = await world.run(id, "run", { attach: true, awaiting: true });
      await world.clock.advance(5 * SECOND);
      await world.store.dynos.update(second.id, { oneOff: { ...(second.oneOff ?? assert.fail()), awaiting: false } });
      await world.clock.advance(SECOND);
      assert.deepEqual(await world.standing(id), [`${second.name} up`, "web.1 up"].sort());
      assert.equal(world.engine.live.find(({ spec }) => spec.id === second.id)?.spec.stdin, true);
    },
  },
  {
    name: "spec 3.9: a client that leaves: three SIGHUPs 5 s apart, then R16; the dyno lives on",
    async play(world) {
      const { id } = await deployed(world, { web: "run" });
      const obeys = await world.run(id, "run", { attach: true });
      const ignores = await world.run(id, "run hup=no", { attach: true });
      await world.clock.advance(SECOND);
      world.lines.length = 0;
      await world.supervisor?.disconnect(obeys.id);
      await world.supervisor?.disconnect(ignores.id);
      await world.clock.advance(MINUTE);
      assert.equal((await world.store.dynos.byId(obeys.id))?.exit?.status, 129);
      const hangup = `${ignores.name}: Client connection closed. Sending SIGHUP to all processes`;
      assert.deepEqual(
        world.lines.filter((line) => line.startsWith(`${ignores.name}:`)),
        [
          hangup,
          hangup,
          hangup,
          `${ignores.name}: Error R16 (Detached) -> An attached process is not responding to SIGHUP after its external connection was closed.`,
        ],
      );
      assert.deepEqual(await world.standing(id), [`${ignores.name} up`, "web.1 up"].sort());
    },
  },
  {
    name: "spec 3.9: a one-off dyno lives for its time and no longer",
    async play(world) {
      const { id } = await deployed(world, { web: "run" });
      const short = await world.run(id, "run", { timeToLive: 60 });
      await world.clock.advance(59 * SECOND);
      assert.equal((await world.standing(id)).length, 2);
      await world.clock.advance(3 * SECOND);
      assert.equal((await world.store.dynos.byId(short.id))?.exit?.status, 143);
    },
  },
  {
    name: "spec 3.9: one-offs are not started twice when the host dies, and the last 100 ended ones stay readable",
    async play(world) {
      const { id } = await deployed(world, { web: "run" });
      const run = await world.run(id, "run");
      const starts = startsOf(world, run.name);
      await world.clock.advance(SECOND);
      world.engine.killHost();
      await world.clock.advance(MINUTE);
      assert.equal(starts(), 1);
      assert.deepEqual((await world.store.dynos.byId(run.id))?.exit?.status, null);
      for (let index = 0; index < 110; index++) await world.run(id, "run exit=10/0");
      await world.clock.advance(MINUTE);
      const complete = (await world.records(id)).filter(({ state }) => state === "complete");
      assert.equal(complete.length, 100);
      assert.equal(await world.store.dynos.byId(run.id), undefined);
    },
  },
  {
    name: "8.2: a dyno's own last lines come before what is said of its end",
    async play(world) {
      world.logsTakeMs = () => 700;
      await deployed(world, { web: "run" });
      world.lines.length = 0;
      await crashByName(world, "web.1");
      await world.clock.advance(600);
      assert.deepEqual(world.lines, []);
      await world.clock.advance(200);
      assert.equal(world.lines[0], "web.1: Process exited with status 1");
    },
  },
  {
    name: "a lost hint costs a delay, never a dyno: the next look finds out",
    async play(world) {
      const { id } = await deployed(world, { web: "run" });
      world.engine.faults = { ...NO_FAULTS, losesHint: () => true };
      await crashByName(world, "web.1");
      await world.clock.advance(31 * SECOND);
      assert.deepEqual(await world.standing(id), ["web.1 up"]);
    },
  },
  {
    name: "a dead daemon stops nothing, and the next one starts nothing twice",
    async play(world) {
      const { id } = await deployed(world, { web: "run", worker: "run" });
      await world.scale(id, "web", 3);
      await world.clock.advance(SECOND);
      const before = await idsByName(world, id);
      world.lines.length = 0;
      world.kill();
      await world.clock.advance(5 * MINUTE);
      await world.start();
      await world.clock.advance(MINUTE);
      assert.deepEqual(await idsByName(world, id), before);
      assert.equal(world.engine.dynos.length, 3);
      assert.deepEqual(world.lines, []);
    },
  },
  {
    name: "calls that fail after they took effect start nothing twice",
    async play(world) {
      let failures = 20;
      world.engine.faults = {
        ...NO_FAULTS,
        after: (call) =>
          call === "start" && failures-- > 0 ? new EngineError("unavailable", "the answer was lost") : undefined,
      };
      const { id } = await deployed(world, { web: "run" });
      await world.scale(id, "web", 3);
      await world.clock.advance(MINUTE);
      assert.equal(world.engine.dynos.length, 3);
      assert.deepEqual(await world.standing(id), ["web.1 up", "web.2 up", "web.3 up"]);
    },
  },
  {
    name: "what the engine runs and no record knows is killed: orphans, builds of a dead daemon, dynos of a destroyed app",
    async play(world) {
      const { id } = await deployed(world, { web: "run" });
      const spec = world.engine.live[0]?.spec ?? assert.fail();
      await world.engine.start({ ...spec, id: world.random.uuid(), name: "web.7" });
      await world.engine.start({ ...spec, id: world.random.uuid(), kind: "build", name: "build.1", port: null });
      const live = world.random.uuid();
      world.builds.add(live);
      await world.engine.start({ ...spec, id: live, kind: "build", name: "build.2", port: null });
      await world.clock.advance(MINUTE);
      assert.deepEqual(world.engine.live.map((dyno) => dyno.spec.name).sort(), ["build.2", "web.1"]);
      world.builds.clear();
      await world.store.apps.remove(id);
      const vanished = later(world.supervisor?.vanished(id, never));
      await world.clock.advance(5 * SECOND);
      await now(vanished);
      assert.deepEqual(world.engine.dynos, []);
    },
  },
  {
    name: "a host that comes back knowing nothing: every formation dyno is there again",
    async play(world) {
      const { id } = await deployed(world, { web: "run", worker: "run" });
      await world.scale(id, "worker", 2);
      await world.clock.advance(SECOND);
      world.engine.wipeHost();
      await world.clock.advance(MINUTE);
      assert.deepEqual(await world.standing(id), ["web.1 up", "worker.1 up", "worker.2 up"]);
      assert.equal(world.engine.dynos.length, 3);
    },
  },
  {
    name: "a dyno that the engine never finishes making is killed and tried again",
    async play(world) {
      const { id } = await deployed(world, { web: "run", worker: "run make=never" });
      const starts = startsOf(world, "worker.1");
      await world.scale(id, "worker", 1);
      stuck(world);
      await world.clock.advance(121 * SECOND);
      assert.ok(
        world.lines.includes("worker.1: Error R99 (Platform error) -> The dyno could not be made within 120 seconds"),
      );
      await world.clock.advance(10 * SECOND);
      assert.ok(starts() >= 1);
      assert.equal((await world.store.dynos.crashes(id)).find(({ name }) => name === "worker.1")?.count, 1);
    },
  },
];

/** `make=never` is read as 0 by the program: such dynos are put back into the making. */
function stuck(world: World): void {
  const start = world.engine.start.bind(world.engine);
  world.engine.start = async (spec) => {
    await start(spec);
    const dyno = world.engine.dynos.find((each) => each.spec.id === spec.id);
    if (dyno?.spec.command.includes("make=never") === true && dyno.state.kind === "creating") dyno.life.abort();
  };
}

/** An app that was deployed once and runs. */
async function deployed(world: World, types: Readonly<Record<string, string>>, wait = 12 * SECOND) {
  const app = await world.app(types);
  await world.start();
  await world.clock.advance(wait);
  const release = await world.store.releases.newest(app.id);
  assert.equal(release?.status, "succeeded", `the first deploy: ${release?.failure}`);
  return app;
}

/** What the promise has been resolved to; it must be by now. */
async function now<T>(promise: Promise<T> | undefined): Promise<T | undefined> {
  const pending = Symbol("pending");
  const first = await Promise.race([promise, new Promise((resolve) => setImmediate(resolve, pending))]);
  assert.notEqual(first, pending, "should be known by now");
  return promise;
}

function settledStatus(world: World, release: Release) {
  return later(world.supervisor?.settled(release.id, never));
}

/** A promise that is looked at later, or never when a planted fault is found before. */
function later<T>(promise: Promise<T> | undefined): Promise<T> | undefined {
  promise?.catch(() => {}); // the supervisor ended first
  return promise;
}

async function recordOf(world: World, appId: string, name: string) {
  return (await world.records(appId)).find((each) => each.name === name);
}

/** Ids of the dynos that live and are not stopping. */
async function idsByName(world: World, appId: string): Promise<Map<string, string>> {
  const records = (await world.records(appId)).filter((each) => each.stopping === null && each.exit === null);
  return new Map(records.map(({ name, id }): [string, string] => [name, id]).sort(([a], [b]) => (a < b ? -1 : 1)));
}

async function crashByName(world: World, name: string): Promise<void> {
  const dyno = world.engine.live.find(({ spec }) => spec.name === name);
  assert.ok(dyno, `${name} lives`);
  world.engine.exit(dyno.spec.id, 1);
}

/** Counts how often something of this name is started from now on. */
function startsOf(world: World, name: string): () => number {
  const line = `${name}: Starting process`;
  const before = world.lines.filter((each) => each.startsWith(line)).length;
  return () => world.lines.filter((each) => each.startsWith(line)).length - before;
}
