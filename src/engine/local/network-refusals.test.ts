import assert from "node:assert/strict";
import { test } from "node:test";
import { RefusalFilter } from "./network-refusals.ts";

const refusal = { index: 5, destination: "10.0.0.1:22", protocol: "tcp" } as const;

test("a refusal is told once a minute, each destination by itself", () => {
  const filter = new RefusalFilter();
  const other = { ...refusal, destination: "10.0.0.1:23" };
  assert.deepEqual(filter.fresh([refusal], 0), [refusal]);
  assert.deepEqual(filter.fresh([refusal, other], 2000), [other]);
  assert.deepEqual(filter.fresh([refusal], 59_999), []);
  assert.deepEqual(filter.fresh([refusal], 60_000), [refusal]);
});

test("a new dyno at an old index starts anew", () => {
  const filter = new RefusalFilter();
  filter.fresh([refusal, { ...refusal, index: 55 }], 0);
  filter.forget(5);
  assert.deepEqual(filter.fresh([refusal, { ...refusal, index: 55 }], 1), [refusal]);
});
