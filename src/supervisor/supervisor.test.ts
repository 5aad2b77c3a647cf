import assert from "node:assert/strict";
import { test } from "node:test";
import { COMMAND_SCENARIOS } from "./simulation-commands.ts";
import { HEALTH_SCENARIOS } from "./simulation-health.ts";
import { SCENARIOS } from "./simulation-scenarios.ts";
import { World } from "./simulation-world.ts";

for (const { name, play } of [...SCENARIOS, ...HEALTH_SCENARIOS, ...COMMAND_SCENARIOS]) {
  test(name, async () => {
    await using world = await World.make();
    await play(world);
    assert.deepEqual(world.broken, []);
  });
}
