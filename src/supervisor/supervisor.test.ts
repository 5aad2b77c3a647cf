import assert from "node:assert/strict";
import { test } from "node:test";
import { SCENARIOS } from "./simulation-scenarios.ts";
import { World } from "./simulation-world.ts";

for (const { name, play } of SCENARIOS) {
  test(name, async () => {
    await using world = await World.make();
    await play(world);
    assert.deepEqual(world.broken, []);
  });
}
