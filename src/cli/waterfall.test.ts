import assert from "node:assert/strict";
import { test } from "node:test";
import { waterfall } from "./waterfall.ts";

test("a waterfall shows each step where it was done, its bar as long as it took", () => {
  const lines = waterfall([
    { name: "asked", after: 0 },
    { name: "created", after: 30 },
    { name: "up", after: 40 },
  ]);
  assert.deepEqual(lines, [
    `asked         0.0 ms      +0.0  #`,
    `created      30.0 ms     +30.0  ${"#".repeat(36)}`,
    `up           40.0 ms     +10.0  ${" ".repeat(36)}${"#".repeat(12)}`,
  ]);
  assert.deepEqual(waterfall([]), []);
});
