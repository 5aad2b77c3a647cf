import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { DynoUsage } from "../model/usage.ts";
import { type LoadAverages, loadOf, type Sampled } from "./load.ts";

const usage = (at: number, cpuMs: number, waitedMs = 0, uninterruptible = 0): DynoUsage => ({
  id: "one",
  appId: "app",
  kind: "formation",
  name: "web.1",
  at,
  since: 0,
  memory: {
    rssBytes: 0,
    cacheBytes: 0,
    swapBytes: 0,
    quotaBytes: 1,
    ceilingBytes: 1,
    pagesIn: 0,
    pagesOut: 0,
  },
  cpuMs,
  processes: 1,
  tasks: { waitedMs, uninterruptible },
  diskBytes: 0,
  io: null,
  network: null,
});

function sampled(looks: readonly DynoUsage[]): LoadAverages {
  let before: Sampled | undefined;
  for (const each of looks) before = { usage: each, load: loadOf(each, before) };
  return before?.load ?? assert.fail("no load");
}

test("spec 8.5: a busy task brings the averages up as the kernel's: 63 % of one after each window", () => {
  const looks = Array.from({ length: 46 }, (_, n) => usage(n * 20_000, n * 20_000)).slice(1);
  assert.deepEqual(
    sampled(looks.slice(0, 3)).map((value) => value.toFixed(2)),
    ["0.63", "0.18", "0.06"],
  );
  assert.deepEqual(
    sampled(looks).map((value) => value.toFixed(2)),
    ["1.00", "0.95", "0.63"],
  );
});

test("waiting for a processor and uninterruptible sleep count like running", () => {
  const [one] = sampled([usage(1, 0), usage(20_001, 20_000, 40_000, 2)]);
  assert.ok(Math.abs(one - 5 * (1 - Math.exp(-1 / 3))) < 1e-9);
});

test("a daemon that has just started goes on where the dyno's whole life says: no ramp from zero, no fall to zero", () => {
  const hour = sampled([usage(3_600_000, 7_200_000)]);
  assert.deepEqual(
    hour.map((value) => value.toFixed(2)),
    ["2.00", "2.00", "1.96"],
  );
});

test("without a look at its tasks there is no load; a clock that was set back, or a host that counts anew, gives no nonsense", () => {
  assert.equal(loadOf({ ...usage(20_000, 1), tasks: null }, undefined), null);
  const before: Sampled = { usage: usage(60_000, 60_000), load: [0.5, 0.4, 0.3] };
  assert.deepEqual(loadOf(usage(50_000, 61_000), before), before.load);
  const look = fc.record({ at: fc.nat(1e7), cpu: fc.nat(1e7), waited: fc.nat(1e7), d: fc.nat(5) });
  fc.assert(
    fc.property(fc.array(look, { minLength: 1 }), (looks) => {
      const loads = sampled(looks.map(({ at, cpu, waited, d }) => usage(at, cpu, waited, d)));
      assert.ok(loads.every((value) => Number.isFinite(value) && value >= 0));
    }),
  );
});
