import assert from "node:assert/strict";
import type { Scenario } from "./simulation-scenarios.ts";
import type { World } from "./simulation-world.ts";

/** Release commands (spec 5.3), played through. */
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const never = new AbortController().signal;

export const COMMAND_SCENARIOS: readonly Scenario[] = [
  {
    name: "spec 5.3: a release's command runs once, before any of its dynos; what ran before is untouched until then",
    async play(world) {
      const { id } = await deployed(world);
      world.lines.length = 0;
      const release = await world.deploy(id, { web: "run", release: "run exit=20000/0" });
      await world.clock.advance(10 * SECOND);
      const command = await commandOf(world, id);
      assert.deepEqual(await world.standing(id), [`${command.name} up`, "web.1 up"]);
      assert.match(command.name, /^release\.[1-9]\d{0,3}$/);
      assert.deepEqual([command.type, command.releaseId, command.size], ["release", release.id, "Basic"]);
      assert.deepEqual(await statusOf(world, release.id), ["pending", "running"]);
      assert.equal(world.recorded.get(release.id), false);
      await world.clock.advance(20 * SECOND);
      assert.equal(world.recorded.get(release.id), true);
      assert.deepEqual(await statusOf(world, release.id), ["succeeded", "done"]);
      assert.deepEqual(await world.standing(id), ["web.1 up"]);
      assert.deepEqual(world.lines.slice(0, 7), [
        "api: Starting process with command `run exit=20000/0` by user me@example.com",
        `${command.name}: Starting process with command \`run exit=20000/0\``,
        `${command.name}: State changed from starting to up`,
        `${command.name}: Process exited with status 0`,
        `${command.name}: State changed from up to complete`,
        "web.1: Restarting",
        "web.1: State changed from up to starting",
      ]);
      assert.equal(world.commands.get(release.id)?.length, 1);
      const formation = await world.store.formation.list(id);
      assert.deepEqual(
        formation.map(({ type, quantity }) => `${type} ${quantity}`),
        ["release 0", "web 1"],
      );
    },
  },
  {
    name: "spec 5.3: a command that fails, runs too long or is stopped fails its release in a sentence, and nothing else happens",
    async play(world) {
      const { id } = await deployed(world);
      await world.store.apps.update(id, { releaseTimeoutSeconds: 30, rollout: "stop-start" });
      const before = (await world.store.apps.byId(id))?.currentReleaseId;
      for (const [command, why] of [
        ["run exit=1000/3", /its release command \(release\.\d+\) exited with status 3$/],
        ["run exit=40000/0", /its release command \(release\.\d+\) ran longer than 30 seconds$/],
      ] as const) {
        const release = await world.deploy(id, { web: "run", release: command });
        await world.clock.advance(45 * SECOND);
        assert.equal((await statusOf(world, release.id))[0], "failed", command);
        assert.match((await world.store.releases.byId(release.id))?.failure ?? "", why);
        assert.equal((await world.store.apps.byId(id))?.currentReleaseId, before);
        assert.ok(
          world.lines.some(
            (line) => line.startsWith(`api: Release v${release.version} failed: `) && line.endsWith("stays."),
          ),
        );
      }
      const release = await world.deploy(id, { web: "run", release: "run exit=600000/0" });
      await world.clock.advance(5 * SECOND);
      const { name } = await commandOf(world, id);
      await world.supervisor?.stop(id, { kind: "dyno", name });
      await world.clock.advance(5 * SECOND);
      assert.match((await world.store.releases.byId(release.id))?.failure ?? "", /was stopped$/);
      assert.ok(!world.lines.some((line) => line.startsWith("web.1: Restarting")));
      assert.deepEqual(await world.standing(id), ["web.1 up"]);
    },
  },
  {
    name: "spec 5.3: a newer release waits for a command that runs, then takes over; rollback and ps:stop too",
    async play(world) {
      const { id } = await deployed(world);
      const first = await world.deploy(id, { web: "run", release: "run exit=30000/0" });
      await world.clock.advance(5 * SECOND);
      const second = await world.deploy(id, { web: "run", release: "run exit=5000/0" });
      const third = await world.deploy(id, { web: "run", release: "run exit=6000/0" });
      await world.clock.advance(20 * SECOND);
      assert.equal(world.commands.size, 1, "the others wait");
      await world.clock.advance(40 * SECOND);
      const all = await Promise.all(
        [first, second, third].map(async ({ id: each }) => (await statusOf(world, each))[0]),
      );
      assert.deepEqual(all, ["expired", "expired", "succeeded"]);
      assert.deepEqual([...world.commands.keys()], [first.id, third.id]);
    },
  },
  {
    name: "spec 5.3: a daemon that is killed goes on with a command that runs, and hears of one that ended meanwhile",
    async play(world) {
      const { id } = await deployed(world);
      const release = await world.deploy(id, { web: "run", release: "run exit=30000/0" });
      await world.clock.advance(5 * SECOND);
      world.kill();
      await world.start();
      await world.clock.advance(5 * SECOND);
      assert.deepEqual(await statusOf(world, release.id), ["pending", "running"]);
      world.kill();
      await world.clock.advance(MINUTE);
      await world.start();
      await world.clock.advance(12 * SECOND);
      assert.deepEqual(await statusOf(world, release.id), ["succeeded", "done"]);
      assert.equal(world.commands.get(release.id)?.length, 1);
    },
  },
  {
    name: "spec 5.3: a command that is lost is not run again: its release fails and says that nobody knows how far it came",
    async play(world) {
      const { id } = await deployed(world);
      const lost = await world.deploy(id, { web: "run", release: "run exit=30000/0" });
      await world.clock.advance(5 * SECOND);
      world.engine.wipeHost();
      await world.clock.advance(5 * SECOND);
      assert.match(
        (await world.store.releases.byId(lost.id))?.failure ?? "",
        /was lost, and it is not known how far it came/,
      );
      // The machine goes down just after the engine was asked, before anybody noted that the command runs.
      const unseen = await world.deploy(id, { web: "run", release: "run exit=30000/0" });
      await until(world, () => (world.commands.get(unseen.id)?.length ?? 0) > 0);
      world.kill();
      world.engine.wipeHost();
      await world.start();
      await world.clock.advance(3 * MINUTE);
      assert.deepEqual(await statusOf(world, unseen.id), ["failed", "running"]);
      assert.deepEqual(
        [...world.commands.values()].map((ids) => ids.length),
        [1, 1],
      );
      assert.deepEqual(await world.standing(id), ["web.1 up"]);
    },
  },
  {
    name: "spec 5.3: a command that finds no room fails its release after a minute",
    async play(world) {
      const { id } = await deployed(world);
      world.engine.capacity = 1;
      const release = await world.deploy(id, { web: "run", release: "run exit=1000/0" });
      await world.clock.advance(2 * MINUTE);
      assert.match((await world.store.releases.byId(release.id))?.failure ?? "", /could not be started: no room/);
      assert.deepEqual(await world.standing(id), ["web.1 up"]);
    },
  },
  {
    name: "spec 5.3: with a destroyed app its command ends",
    async play(world) {
      const { id } = await deployed(world);
      const release = await world.deploy(id, { web: "run", release: "run exit=600000/0" });
      await world.clock.advance(5 * SECOND);
      const settled = world.supervisor?.settled(release.id, never);
      await world.store.apps.remove(id);
      await world.clock.advance(MINUTE);
      assert.equal((await settled)?.status, "expired");
      assert.deepEqual(world.engine.live, []);
    },
  },
  {
    name: "spec 5.3: whoever waits for a command hears of its end, before the release is settled",
    async play(world) {
      const { id } = await deployed(world);
      const release = await world.deploy(id, { web: "run listen=20000", release: "run exit=5000/0" });
      let isOver = false;
      void world.supervisor?.commandEnded(release.id, never).then(() => (isOver = true));
      await world.clock.advance(4 * SECOND);
      assert.equal(isOver, false);
      await world.clock.advance(3 * SECOND);
      assert.equal(isOver, true);
      assert.deepEqual(await statusOf(world, release.id), ["pending", "done"]);
    },
  },
  {
    name: "spec 3.7, 5.3: with preboot the time to the switch begins when the command is done",
    async play(world) {
      const { id } = await deployed(world);
      await world.store.apps.update(id, { rollout: "preboot", bootTimeoutSeconds: 30, prebootDelaySeconds: 30 });
      const release = await world.deploy(id, { web: "run", release: "run exit=90000/0" });
      await world.clock.advance(120 * SECOND);
      assert.deepEqual(await statusOf(world, release.id), ["pending", "done"]);
      await world.clock.advance(40 * SECOND);
      assert.deepEqual(await statusOf(world, release.id), ["succeeded", "done"]);
    },
  },
];

/** An app without a release command that runs. */
async function deployed(world: World) {
  const app = await world.app({ web: "run" });
  await world.start();
  await world.clock.advance(12 * SECOND);
  assert.equal((await world.store.releases.newest(app.id))?.status, "succeeded");
  return app;
}

async function commandOf(world: World, appId: string) {
  const record = (await world.records(appId)).findLast(({ kind }) => kind === "release");
  return record ?? assert.fail("a release command was begun");
}

async function statusOf(world: World, releaseId: string) {
  const release = await world.store.releases.byId(releaseId);
  return [release?.status, release?.phase];
}

async function until(world: World, isSo: () => boolean): Promise<void> {
  for (let tries = 0; tries < 5000 && !isSo(); tries++) await world.clock.advance(1);
  assert.ok(isSo());
}
