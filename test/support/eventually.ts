import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";

/** Tries until `probe` says yes; fails after ten seconds. */
export async function eventually(probe: () => unknown): Promise<void> {
  for (const until = performance.now() + 10_000; !(await probe()); await pause(5)) {
    assert.ok(performance.now() < until, "not within 10 s");
  }
}
