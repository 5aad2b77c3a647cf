import assert from "node:assert/strict";
import { test } from "node:test";
import { simulate } from "./simulation.ts";

const SEEDS = 60;
/** Seeds that once showed a broken promise, and what it was. */
const ONCE_BROKEN = [
  38, // a dyno that was being stopped when the daemon died got SIGTERM before the router was told
  182, // the same, for several
];

test(`${SEEDS} storms of failing calls, deaths and changes: every promise is kept, and all is well afterwards`, async () => {
  for (let seed = 1; seed <= SEEDS; seed++) assert.deepEqual(await simulate(seed), [], `seed ${seed}`);
});

test("seeds that once failed", async () => {
  for (const seed of ONCE_BROKEN) assert.deepEqual(await simulate(seed), [], `seed ${seed}`);
});
