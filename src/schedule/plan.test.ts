import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { nextRunAt, type Schedule } from "../model/schedule.ts";
import { type Decision, LATE_MS_MAX, plan, type RunningDyno, SCHEDULER_DYNOS_MAX } from "./plan.ts";

const at = (text: string) => Date.parse(text);
const iso = (instant: number) => new Date(instant).toISOString().slice(0, 19);
const NIGHTLY: Schedule = {
  id: "nightly",
  appId: "app",
  source: "api",
  name: "nightly",
  command: "rake",
  cron: "0 3 * * *",
  timeZone: "UTC",
  size: null,
  concurrency: "forbid",
  enabled: true,
  decidedUntil: at("2026-05-01T00:00:00Z"),
  createdAt: 0,
  updatedAt: 0,
};
const EVERY_MINUTE: Schedule = { ...NIGHTLY, cron: "* * * * *" };

function shown(decision: Decision): string {
  switch (decision.kind) {
    case "start":
      return `start ${iso(decision.dueAt)}${decision.replaces.map(({ name }) => ` for ${name}`).join("")}`;
    case "skip":
      return `skip ${iso(decision.dueAt)}: ${decision.reason.kind}`;
    case "miss":
      return `miss ${decision.count}: ${iso(decision.firstAt)} to ${iso(decision.lastAt)}`;
    case "begin-anew":
      return decision.kind;
    default:
      return decision satisfies never;
  }
}

const decide = (schedule: Schedule, now: string, running: readonly RunningDyno[] = []) =>
  plan({ schedules: [schedule], running, alive: running.length, now: at(now) }).map(shown);
const dyno = (number: number, scheduleId = "nightly"): RunningDyno => ({
  scheduleId,
  dynoId: `id-${number}`,
  name: `scheduler.${number}`,
  since: at("2026-05-01T00:00:00Z"),
});

test("spec 14.1: a run starts when it is due, and once", () => {
  assert.deepEqual(decide(NIGHTLY, "2026-05-01T02:59:59Z"), []);
  assert.deepEqual(decide(NIGHTLY, "2026-05-01T03:00:00Z"), ["start 2026-05-01T03:00:00"]);
  assert.deepEqual(decide({ ...NIGHTLY, decidedUntil: at("2026-05-01T03:00:00Z") }, "2026-05-01T03:00:01Z"), []);
});

test("a run that the platform was away for starts late, once, up to an hour; later it is missed", () => {
  assert.deepEqual(decide(NIGHTLY, "2026-05-01T03:20:00Z"), ["start 2026-05-01T03:00:00"]);
  assert.deepEqual(decide(NIGHTLY, "2026-05-01T04:00:00Z"), ["start 2026-05-01T03:00:00"]);
  assert.deepEqual(decide(NIGHTLY, "2026-05-01T04:00:01Z"), ["miss 1: 2026-05-01T03:00:00 to 2026-05-01T03:00:00"]);
  assert.deepEqual(decide(NIGHTLY, "2026-05-04T03:01:00Z"), [
    "miss 3: 2026-05-01T03:00:00 to 2026-05-03T03:00:00",
    "start 2026-05-04T03:00:00",
  ]);
});

test("missed runs do not pile up: a week of minutes is one run and one count", () => {
  assert.deepEqual(decide(EVERY_MINUTE, "2026-05-01T00:10:30Z"), [
    "miss 9: 2026-05-01T00:01:00 to 2026-05-01T00:09:00",
    "start 2026-05-01T00:10:00",
  ]);
  assert.deepEqual(decide(EVERY_MINUTE, "2026-05-08T00:00:30Z"), [
    "miss 1000: 2026-05-01T00:01:00 to 2026-05-07T23:59:00",
    "start 2026-05-08T00:00:00",
  ]);
});

test("no overlap unless asked: skipped, beside it, or in its place", () => {
  const now = "2026-05-01T03:00:00Z";
  assert.deepEqual(decide(NIGHTLY, now, [dyno(1)]), ["skip 2026-05-01T03:00:00: running"]);
  assert.deepEqual(decide(NIGHTLY, now, [dyno(1, "other")]), ["start 2026-05-01T03:00:00"]);
  assert.deepEqual(decide({ ...NIGHTLY, concurrency: "allow" }, now, [dyno(1)]), ["start 2026-05-01T03:00:00"]);
  assert.deepEqual(decide({ ...NIGHTLY, concurrency: "replace" }, now, [dyno(1), dyno(2)]), [
    "start 2026-05-01T03:00:00 for scheduler.1 for scheduler.2",
  ]);
});

test("scheduled dynos of an app have a limit, over all its schedules", () => {
  const running = Array.from({ length: SCHEDULER_DYNOS_MAX - 1 }, (_, index) => dyno(index, "other"));
  const schedules = ["a", "b"].map((id): Schedule => ({ ...NIGHTLY, id, concurrency: "allow" }));
  assert.deepEqual(plan({ schedules, running, alive: running.length, now: at("2026-05-01T03:00:00Z") }).map(shown), [
    "start 2026-05-01T03:00:00",
    "skip 2026-05-01T03:00:00: too-many",
  ]);
});

test("those of schedules that are gone count too", () => {
  const now = at("2026-05-01T03:00:00Z");
  const decided = plan({ schedules: [NIGHTLY], running: [], alive: SCHEDULER_DYNOS_MAX, now }).map(shown);
  assert.deepEqual(decided, ["skip 2026-05-01T03:00:00: too-many"]);
});

test("a clock set back by less than an hour repeats nothing; by more, schedules begin anew", () => {
  const decided: Schedule = { ...EVERY_MINUTE, decidedUntil: at("2026-05-01T12:00:00Z") };
  assert.deepEqual(decide(decided, "2026-05-01T11:30:00Z"), []);
  assert.deepEqual(decide(decided, "2026-05-01T10:00:00Z"), ["begin-anew"]);
});

const instants = fc.integer({ min: at("2026-03-20T00:00:00Z"), max: at("2026-11-10T00:00:00Z") });
const schedules = fc.record({
  cron: fc.constantFrom("*/3 * * * *", "*/20 * * * *", "30 2 * * *", "0 * * * *", "15 1,2,3 * * 0"),
  timeZone: fc.constantFrom("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"),
});

test("every time is decided once, in order; planning twice is planning once", () => {
  const looks = fc.array(fc.integer({ min: 1, max: 18 * 3_600_000 }), { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(schedules, instants, looks, (settings, from, pauses) => {
      let schedule: Schedule = { ...NIGHTLY, ...settings, decidedUntil: from };
      let now = from;
      let decided = 0;
      for (const pause of pauses) {
        now += pause;
        for (const decision of plan({ schedules: [schedule], running: [], alive: 0, now })) {
          assert.ok(decision.decidedUntil > schedule.decidedUntil && decision.decidedUntil <= now);
          if (decision.kind === "start") assert.ok(now - decision.dueAt <= LATE_MS_MAX);
          decided += decision.kind === "miss" ? decision.count : 1;
          schedule = { ...schedule, decidedUntil: decision.decidedUntil };
        }
        assert.deepEqual(plan({ schedules: [schedule], running: [], alive: 0, now }), []);
      }
      assert.equal(decided, timesBetween(schedule, from, now));
    }),
    { numRuns: 80 },
  );
});

function timesBetween(schedule: Schedule, from: number, until: number): number {
  let count = 0;
  for (let next = nextRunAt(schedule, from); next !== null && next <= until; next = nextRunAt(schedule, next)) count++;
  return count;
}
