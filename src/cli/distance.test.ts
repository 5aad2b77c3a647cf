import assert from "node:assert/strict";
import { test } from "node:test";
import { distance } from "./distance.ts";

test("how far apart two times are, in the words of the official client's library", () => {
  const now = new Date(2026, 10, 27, 12, 0, 0);
  const [minute, day] = [60, 86_400];
  const cases: readonly (readonly [number, string])[] = [
    [0, "less than a minute"],
    [29, "less than a minute"],
    [30, "1 minute"],
    [44 * minute, "44 minutes"],
    [45 * minute, "about 1 hour"],
    [90 * minute, "about 2 hours"],
    [23.9 * 60 * minute, "about 24 hours"],
    [day, "1 day"],
    [1.8 * day, "2 days"],
    [29 * day, "29 days"],
    [40 * day, "about 1 month"],
    [50 * day, "about 2 months"],
    [100 * day, "3 months"],
    [364 * day, "12 months"],
    [366 * day, "about 1 year"],
    [500 * day, "over 1 year"],
    [700 * day, "almost 2 years"],
  ];
  for (const [seconds, words] of cases) {
    assert.equal(distance(new Date(now.getTime() - seconds * 1000), now), words);
    assert.equal(distance(now, new Date(now.getTime() - seconds * 1000)), words, "whichever comes first");
  }
});
