import assert from "node:assert/strict";
import { test } from "node:test";
import { SimClock } from "../lib/sim-clock.ts";
import { RateLimit } from "./rate-limit.ts";

test("spec 13: an hour's calls at once, then as they are filled up again; each account has its own", async () => {
  const clock = new SimClock();
  const limit = new RateLimit(clock, 4500);
  for (let calls = 0; calls < 4500; calls++) assert.equal(limit.take("one"), true);
  assert.equal(limit.take("one"), false);
  assert.equal(limit.remaining("one"), 0);
  assert.equal(limit.take("other"), true);
  await clock.advance(60_000);
  assert.equal(limit.remaining("one"), 75);
  for (let calls = 0; calls < 75; calls++) assert.equal(limit.take("one"), true);
  assert.equal(limit.take("one"), false);
  await clock.advance(7_200_000);
  assert.equal(limit.remaining("one"), 4500);
});

test("a clock that is set back gives nothing away and takes nothing", () => {
  const clock = new SimClock();
  const limit = new RateLimit(clock, 10);
  limit.take("one");
  clock.jump(-3_600_000);
  assert.equal(limit.remaining("one"), 9);
});
