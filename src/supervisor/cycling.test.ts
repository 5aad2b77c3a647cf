import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { cycleAt } from "./cycling.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const dyno = (id: string, launchedAt: number) => ({ id, createdAt: 0, launchedAt });

test("spec 3.5: a dyno is due 24 h and up to 216 min after its start, always at the same time, each at its own", () => {
  fc.assert(
    fc.property(fc.uuid(), fc.integer({ min: 0, max: 1e13 }), (id, start) => {
      const at = cycleAt(dyno(id, start), { cyclingHour: null });
      assert.ok(at >= start + DAY && at < start + DAY + 216 * 60_000);
      assert.equal(at, cycleAt(dyno(id, start), { cyclingHour: null }));
    }),
  );
  const times = Array.from({ length: 100 }, (_, index) => cycleAt(dyno(`dyno-${index}`, 0), { cyclingHour: null }));
  const tenths = new Set(times.map((at) => Math.floor(((at - DAY) / (216 * 60_000)) * 10)));
  assert.equal(new Set(times).size, 100);
  assert.equal(tenths.size, 10);
});

test("a chosen hour: within it (UTC), and never for a dyno younger than 12 hours", () => {
  const property = fc.property(
    fc.uuid(),
    fc.integer({ min: 0, max: 1e13 }),
    fc.integer({ min: 0, max: 23 }),
    (id, start, cyclingHour) => {
      const at = cycleAt(dyno(id, start), { cyclingHour });
      assert.equal(new Date(at).getUTCHours(), cyclingHour);
      assert.ok(at >= start + 12 * HOUR && at < start + 37 * HOUR);
    },
  );
  fc.assert(property);
});

test("a dyno that was never launched counts from when it was made", () => {
  const at = cycleAt({ id: "x", createdAt: DAY, launchedAt: null }, { cyclingHour: null });
  assert.ok(at >= 2 * DAY);
});
