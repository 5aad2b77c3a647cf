import assert from "node:assert/strict";
import { test } from "node:test";
import type { SupervisorStore } from "./parts.ts";
import { World } from "./simulation-world.ts";

test("the engine is told of few new dynos before they are on record, and asked for those; of many it begins none before", async () => {
  await using world = await World.make();
  const { id } = await world.app({ web: "run listen=100", worker: "run" });
  await world.start();
  await world.clock.advance(5_000);
  const started = () => world.engine.dynos.map(({ spec }) => spec.id).sort();
  const told = () => world.engine.prepared.map((spec) => spec.id).sort();
  assert.deepEqual([started().length, told()], [1, []], "whether its slug's image is there was not known yet");
  const [first = ""] = started();
  await world.scale(id, "worker", 3);
  await world.clock.advance(5_000);
  assert.equal(told().length, 3);
  assert.deepEqual([first, ...told()].sort(), started());
  for (const spec of world.engine.prepared) {
    const { marks: _marks, ...asked } =
      world.engine.dynos.find((dyno) => dyno.spec.id === spec.id)?.spec ?? assert.fail();
    assert.deepEqual(asked, spec, "it is asked for exactly as it was told");
  }
  await world.scale(id, "worker", 20);
  await world.clock.advance(5_000);
  assert.equal(started().length, 21);
  assert.equal(told().length, 3);
});

test("what stands by is for new containers whose start is begun ahead, an id for each; others have ids of their own", async () => {
  await using world = await World.make();
  const { id } = await world.app({ web: "run listen=100", worker: "run" });
  const standbys = [1, 2, 3].map((ordinal) => `00000000-0000-4000-8000-00000000000${ordinal}`);
  world.engine.standbys = [...standbys];
  await world.start();
  await world.clock.advance(5_000);
  assert.equal(world.engine.standbys.length, 3, "it was not known yet whether the slug's image is there");
  await world.scale(id, "worker", 4);
  await world.clock.advance(5_000);
  const ids = world.engine.dynos.map(({ spec }) => spec.id);
  assert.deepEqual(ids.filter((each) => standbys.includes(each)).sort(), standbys);
  assert.equal(new Set(ids).size, 5);
});

test("what is on record of a new dyno says that it is launched, in the order in which things are said", async () => {
  await using world = await World.make();
  const { id } = await world.app({ web: "run listen=100" });
  await world.start();
  await world.clock.advance(1);
  const [record] = await world.records(id);
  assert.notEqual(record?.launchedAt, null);
  await world.clock.advance(5_000);
  assert.deepEqual(
    world.lines.filter((line) => line.startsWith("web.1")),
    ["web.1: Starting process with command `run listen=100`", "web.1: State changed from starting to up"],
  );
});

test("a release that cannot be read keeps nothing else from being written down", async () => {
  await using world = await World.make({
    storeFault: (store) => {
      const faulty = (of: SupervisorStore): SupervisorStore => ({
        ...of,
        releases: { ...of.releases, config: () => Promise.reject(new Error("the key is missing")) },
        transaction: (body) => of.transaction((inside) => body(faulty(inside))),
      });
      return faulty(store);
    },
  });
  const { id } = await world.app({ web: "run listen=100" });
  await world.run(id, "run exit=10/0");
  await world.start();
  await world.clock.advance(30_000);
  assert.deepEqual((await world.records(id)).map(({ type }) => type).sort(), ["run", "web"]);
  assert.ok(
    world.lines.some((line) => /^web\.1: Error R99 .*could not be started/.test(line)),
    world.lines.join("\n"),
  );
});
