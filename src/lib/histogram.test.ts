import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { HISTOGRAM_MAX, Histogram } from "./histogram.ts";

const values = fc.array(fc.oneof(fc.nat(100), fc.nat(100_000), fc.nat(HISTOGRAM_MAX)), {
  minLength: 1,
  maxLength: 200,
});
const of = (all: readonly number[]) => {
  const histogram = new Histogram();
  for (const value of all) histogram.add(value);
  return histogram;
};

test("a percentile is exact below 64 and at most 1/32 too high above", () => {
  fc.assert(
    fc.property(values, fc.double({ min: 0, max: 1, noNaN: true }), (all, share) => {
      const sorted = all.toSorted((a, b) => a - b);
      const exact = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
      const found = of(all).percentile(share) ?? Number.NaN;
      assert.ok(found >= exact && found <= exact + (exact < 64 ? 0 : exact / 32), `${found} for ${exact}`);
    }),
  );
});

test("two that are added are as one of all their values", () => {
  fc.assert(
    fc.property(values, values, (left, right) => {
      const [sum, whole] = [of(left), of([...left, ...right])];
      sum.addAll(of(right));
      for (const share of [0, 0.5, 0.95, 0.99, 1]) assert.equal(sum.percentile(share), whole.percentile(share));
      assert.deepEqual([sum.count, sum.max], [whole.count, whole.max]);
    }),
  );
});

test("counts beyond 65,535 are counts", () => {
  const many = of([100]);
  for (let doubled = 0; doubled < 20; doubled++) many.addAll(many);
  many.add(1_000);
  assert.deepEqual([many.count, many.percentile(0.5), many.percentile(1)], [2 ** 20 + 1, 101, 1_000]);
  for (let added = 0; added < 70_000; added++) many.add(5);
  assert.equal(many.percentile(0.06), 5);
});

test("what is none, negative or beyond the greatest is counted all the same", () => {
  assert.equal(new Histogram().percentile(0.5), null);
  const odd = of([-1, Number.NaN, Number.POSITIVE_INFINITY]);
  assert.deepEqual([odd.count, odd.percentile(0.5), odd.max], [3, 0, HISTOGRAM_MAX]);
  odd.clear();
  assert.deepEqual([odd.count, odd.percentile(1), odd.max], [0, null, 0]);
});
