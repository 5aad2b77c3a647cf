import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "../../../test/support/eventually.ts";
import { systemClock } from "../../lib/clock.ts";
import { silentLogger } from "../../lib/logger.ts";
import { MigrationLock } from "./migration-lock.ts";

function counted(again: () => void = () => {}) {
  const counts = { moves: 0, closed: 0, warnings: 0 };
  const move = {
    async again() {
      counts.moves++;
      again();
    },
    async close() {
      counts.closed++;
    },
  };
  const logger = { ...silentLogger, warn: () => void counts.warnings++ };
  return { counts, lock: new MigrationLock(move, systemClock, logger) };
}

test("the lock is warmed at once and again while anybody holds it warm, and not after", async () => {
  const { counts, lock } = counted();
  const [first, second] = [lock.warm(), lock.warm()];
  assert.equal(counts.moves, 1, "one loop for both");
  await eventually(() => counts.moves >= 3);
  first[Symbol.dispose]();
  const before = counts.moves;
  await eventually(() => counts.moves > before);
  second[Symbol.dispose]();
  await new Promise((resolve) => setTimeout(resolve, 20));
  const after = counts.moves;
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.equal(counts.moves, after);
  using _third = lock.warm();
  assert.equal(counts.moves, after + 1);
  await lock[Symbol.asyncDispose]();
  assert.equal(counts.closed, 1);
});

test("it is warmed for a while for who may come, in one loop with those who did", async () => {
  const { counts, lock } = counted();
  lock.warmFor(40);
  lock.warmFor(1);
  assert.equal(counts.moves, 1);
  await eventually(() => counts.moves >= 3);
  const held = lock.warm();
  await new Promise((resolve) => setTimeout(resolve, 60));
  const before = counts.moves;
  await eventually(() => counts.moves > before);
  held[Symbol.dispose]();
  await new Promise((resolve) => setTimeout(resolve, 20));
  const after = counts.moves;
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.equal(counts.moves, after);
  await lock[Symbol.asyncDispose]();
});

test("where no process may be moved this is said once, and dynos start without", async () => {
  const { counts, lock } = counted(() => {
    throw new Error("EACCES");
  });
  for (let round = 0; round < 3; round++) {
    using _held = lock.warm();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.deepEqual([counts.moves, counts.warnings], [1, 1]);
  await lock[Symbol.asyncDispose]();
});
