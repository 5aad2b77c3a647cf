import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { timeLimit } from "./abort.ts";

test("a time limit says what was late, and nothing once it was disposed of", async () => {
  using late = timeLimit(5, "no answer in time");
  const kept = timeLimit(5, "never said");
  kept[Symbol.dispose]();
  await pause(30);
  assert.equal(late.signal.aborted, true);
  assert.match(String(late.signal.reason), /no answer in time/);
  assert.equal(kept.signal.aborted, false);
});
