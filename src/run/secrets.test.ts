import assert from "node:assert/strict";
import { test } from "node:test";
import { SimClock } from "../lib/sim-clock.ts";
import { ATTACH_SECRET, Secrets } from "./secrets.ts";

test("a secret joins once, and not after its time", async () => {
  const clock = new SimClock();
  const secrets = new Secrets(clock);
  const [one, two] = [secrets.issue("dyno-1"), secrets.issue("dyno-2")];
  assert.match(one, ATTACH_SECRET);
  assert.notEqual(one, two);
  assert.equal(secrets.redeem("x".repeat(43)), undefined);
  assert.equal(secrets.redeem(one), "dyno-1");
  assert.equal(secrets.redeem(one), undefined);
  await clock.advance(61_000);
  assert.equal(secrets.redeem(two), undefined);
});
