import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom, systemRandom } from "./random.ts";

test("a seed gives the same numbers and ids each time, another seed others", () => {
  const draw = (seed: number) => {
    const random = seededRandom(seed);
    return [random.below(1000), random.below(1000), random.below(1000), random.uuid()];
  };
  assert.deepEqual(draw(7), draw(7));
  assert.notDeepEqual(draw(7), draw(8));
});

test("numbers stay below their limit and reach both ends; ids are UUIDs", () => {
  for (const random of [seededRandom(1), systemRandom]) {
    const drawn = new Set(Array.from({ length: 400 }, () => random.below(4)));
    assert.deepEqual(
      [...drawn].sort((a, b) => a - b),
      [0, 1, 2, 3],
    );
    assert.match(random.uuid(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  }
});
