import assert from "node:assert/strict";
import { test } from "node:test";
import { World } from "./simulation-world.ts";

test("the engine is told of few new dynos before they are on record, and asked for those; of many it begins none before", async () => {
  await using world = await World.make();
  const { id } = await world.app({ web: "run listen=100", worker: "run" });
  await world.start();
  await world.clock.advance(5_000);
  const started = () => world.engine.dynos.map(({ spec }) => spec.id).sort();
  const told = () => world.engine.hints.map((hint) => hint.id).sort();
  assert.equal(told().length, 1);
  assert.deepEqual(told(), started());
  await world.scale(id, "worker", 3);
  await world.clock.advance(5_000);
  assert.equal(told().length, 4);
  assert.deepEqual(told(), started());
  await world.scale(id, "worker", 20);
  await world.clock.advance(5_000);
  assert.equal(started().length, 21);
  assert.equal(told().length, 4);
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
