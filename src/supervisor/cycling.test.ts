import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { dynoRecord } from "../../test/support/dyno.ts";
import type { ObservedDyno } from "../engine/engine.ts";
import type { DynoRecord } from "../model/dyno.ts";
import { DEFAULT_RUNTIME } from "../model/runtime.ts";
import { cycle, cycleAt } from "./cycling.ts";
import type { Desired, DesiredRelease } from "./desired.ts";
import { Deadlines } from "./situation.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const dyno = (id: string, launchedAt: number) => ({ id, createdAt: 0, launchedAt });

test("spec 3.5: a dyno is due 24 h and up to 216 min after its start, always at the same time, each at its own", () => {
  fc.assert(
    fc.property(fc.uuid(), fc.integer({ min: 0, max: 1e13 }), (id, start) => {
      const at = cycleAt(dyno(id, start), { cyclingHour: null }, start);
      assert.ok(at >= start + DAY && at < start + DAY + 216 * 60_000);
      assert.equal(at, cycleAt(dyno(id, start), { cyclingHour: null }, start));
    }),
  );
  const times = Array.from({ length: 100 }, (_, index) => cycleAt(dyno(`dyno-${index}`, 0), { cyclingHour: null }, 0));
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
      const at = cycleAt(dyno(id, start), { cyclingHour }, start);
      assert.equal(new Date(at).getUTCHours(), cyclingHour);
      assert.ok(at >= start + 12 * HOUR && at < start + 37 * HOUR);
    },
  );
  fc.assert(property);
});

test("a dyno whose hour has gone by waits for the next day's, however old it is", () => {
  const property = fc.property(
    fc.uuid(),
    fc.integer({ min: 0, max: 23 }),
    fc.integer({ min: 0, max: DAY - 1 }),
    (id, cyclingHour, since) => {
      const now = 100 * DAY + cyclingHour * HOUR + since;
      const at = cycleAt(dyno(id, 90 * DAY), { cyclingHour }, now);
      assert.equal(new Date(at).getUTCHours(), cyclingHour);
      assert.equal(Math.floor((at - cyclingHour * HOUR) / DAY), since < HOUR ? 100 : 101);
    },
  );
  fc.assert(property);
});

test("a dyno that was never launched counts from when it was made", () => {
  const at = cycleAt({ id: "x", createdAt: DAY, launchedAt: null }, { cyclingHour: null }, 0);
  assert.ok(at >= 2 * DAY);
});

const NOW = 10 * DAY;
const web = (ordinal: number, change: Partial<DynoRecord> = {}): DynoRecord =>
  dynoRecord({ id: `web-${ordinal}`, name: `web.${ordinal}`, ...change }, NOW - 2 * DAY);
const release: DesiredRelease = {
  id: "v3",
  version: 3,
  since: 0,
  command: null,
  types: ["web"],
  dynos: [1, 2].map((ordinal) => ({ name: `web.${ordinal}`, type: "web", size: "Basic", command: "run" })),
};
const desired: Desired = {
  app: { id: "app", ...DEFAULT_RUNTIME, dailyCycling: true },
  current: release,
  candidate: null,
  overtaken: [],
  isAsleep: false,
};

function cycled(
  records: readonly DynoRecord[],
  change: Partial<Desired> = {},
  unseen: readonly string[] = [],
  changing: readonly string[] = [],
) {
  const observed = records
    .filter(({ id }) => !unseen.includes(id))
    .map(({ id, kind, name }): ObservedDyno => {
      const state = { kind: "running", since: 0, listening: true, address: null } as const;
      return { id, appId: "app", kind, name, releaseId: "v3", state };
    });
  const look = { desired: { ...desired, ...change }, records, observed, crashes: [], attempts: new Map(), now: NOW };
  const actions = cycle(look.desired, release, { ...look, deadlines: new Deadlines(NOW) }, new Set(changing));
  return actions.map((action) => (action.kind === "change" ? action.record.name : action.kind));
}

test("of several that are due the one that runs longest goes, and no other with it", () => {
  assert.deepEqual(cycled([web(1), web(2, { launchedAt: NOW - 3 * DAY })]), ["web.2"]);
  assert.deepEqual(cycled([web(1, { launchedAt: NOW }), web(2, { launchedAt: NOW })]), []);
});

test("nothing is cycled while another of its type is missing, starting, stopping, not to be seen, just told to restart, or of another size", () => {
  const stopping = { since: NOW, reason: "restart", killed: false } as const;
  assert.deepEqual(cycled([web(1)]), []);
  assert.deepEqual(cycled([web(1), web(2, { state: "starting" })]), []);
  assert.deepEqual(cycled([web(1), web(2, { stopping })]), []);
  assert.deepEqual(cycled([web(1), web(2)], {}, ["web-2"]), []);
  assert.deepEqual(cycled([web(1), web(2)], {}, [], ["web-2"]), []);
  assert.deepEqual(cycled([web(1), web(2, { size: "Standard-2X" })]), []);
});

test("nothing is cycled while a release comes up, or where it is off", () => {
  const both = [web(1), web(2)];
  assert.equal(cycled(both).length, 1);
  assert.deepEqual(cycled(both, { candidate: { ...release, id: "v4" } }), []);
  assert.deepEqual(cycled(both, { app: { id: "app", ...DEFAULT_RUNTIME } }), []);
});
