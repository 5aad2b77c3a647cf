import assert from "node:assert/strict";
import { test } from "node:test";
import { simulate } from "./simulation.ts";

/** More of them: `npm run test:sim -- --seeds 10000`. */
const SEEDS = 20;
const SEEDS_A_TEST = 5;
/** Seeds that once showed a broken promise, and what it was. */
const ONCE_BROKEN = [
  38, // a dyno that was being stopped when the daemon died got SIGTERM before the router was told
  182, // the same, for several
];

for (let first = 1; first <= SEEDS; first += SEEDS_A_TEST) {
  const seeds = Array.from({ length: SEEDS_A_TEST }, (_, index) => first + index);
  test(`storms ${seeds.join(", ")}: every promise is kept, and all is well afterwards`, async () => {
    for (const seed of seeds) assert.deepEqual(await simulate(seed), [], `seed ${seed}`);
  });
}

/** Found with settings of the app's own. */
const ONCE_BROKEN_WITH_SETTINGS = [
  971, // a type was scaled up and taken away by a release in one moment
  247, // a dead daemon's call started a dyno that the next one had given up: it is killed as an orphan
  1514, // while a strategy stops old dynos first, one that comes up just then is stopped a look later
  2296, // a dyno was cycled in the very look that restarted another one for its liveness check
  9032, // a dyno had a boot timeout that was longer than the simulation waits for anything
  4891, // the simulated engine took a program for one that passes its checks, since the clock was set back to before its start
  4911, // the same
  6110, // what a daemon born a moment ago had not yet scaled away: nothing was looked at in the minutes before, all were dead
  20221, // looks at the engine failed for 16 s in a row just as a boot timeout of 94 s was over
  3577, // a dyno that made way for a release that failed is started again at once: what crashed before its last start is past
  5994, // two dynos failed their liveness checks a look after a third one was cycled, at the same instant
  7675, // a release replaced two dynos a look after a third one was cycled, at the same instant
  3267, // an app woke up between the look that put its dynos to sleep and the transaction that says so
];

test("seeds that once failed", async () => {
  for (const seed of ONCE_BROKEN) assert.deepEqual(await simulate(seed, { settings: "default" }), [], `seed ${seed}`);
  for (const seed of ONCE_BROKEN_WITH_SETTINGS) assert.deepEqual(await simulate(seed), [], `seed ${seed}`);
});
