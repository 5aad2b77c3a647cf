import assert from "node:assert/strict";
import { test } from "node:test";
import { isMet, median, percentile, type Verdict } from "./statistics.ts";

test("percentiles are values that were measured: nearest rank", () => {
  const values = [5, 1, 4, 2, 3];
  assert.equal(median(values), 3);
  assert.equal(percentile(values, 0.99), 5);
  assert.equal(percentile(values, 0), 1);
  assert.equal(median([1, 2, 3, 4]), 2);
  assert.ok(Number.isNaN(median([])));
});

test("a promise is met at its bound; one that was not measured is neither met nor missed", () => {
  const verdict = (value: number | null, bound: Verdict["bound"]): Verdict => ({ claim: "", unit: "", value, bound });
  assert.equal(isMet(verdict(1.6, { atMost: 1.6 })), true);
  assert.equal(isMet(verdict(1.61, { atMost: 1.6 })), false);
  assert.equal(isMet(verdict(9, { atLeast: 9 })), true);
  assert.equal(isMet(verdict(8.9, { atLeast: 9 })), false);
  assert.equal(isMet(verdict(null, { atLeast: 9 })), null);
});
