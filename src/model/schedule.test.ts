import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { checkedTimetable, lastRunAt, nameFor, nextRunAt, ScheduleError, type Timetable } from "./schedule.ts";

const at = (text: string) => Date.parse(text);
const iso = (instant: number | null) => (instant === null ? null : new Date(instant).toISOString().replace(".000", ""));

const REFUSED: readonly (readonly [line: string, why: RegExp])[] = [
  ["", /has 0 fields\. Write five/],
  ["* * * *", /has 4 fields/],
  ["*/5 * * * * *", /has 6 fields.*the minute is the finest/],
  ["2026-01-01T00:00:00", /has one field/],
  ["61 * * * *", /Invalid value for minute: 61/],
  ["*/0 * * * *", /illegal stepping/],
  ["a * * * *", /illegal characters/],
  ["? * * * *", /question mark: write \* instead/],
  ["0 0 31 2 *", /never comes/],
  ["@reboot", /is not known: use @hourly/],
  [`${"1,".repeat(200)}2 * * * *`, /longer than 200 bytes/],
];

for (const [line, why] of REFUSED)
  test(`the cron line ${JSON.stringify(line.slice(0, 40))} is refused in words`, () => {
    assert.throws(
      () => checkedTimetable(line, "UTC"),
      (error) => error instanceof ScheduleError && error.field === "schedule" && why.test(error.message),
    );
  });

for (const zone of ["", "Mars/X", "+02:00", " UTC", "../../etc/passwd", "UTC\n"])
  test(`the time zone ${JSON.stringify(zone)} is refused in words`, () => {
    assert.throws(
      () => checkedTimetable("@daily", zone),
      (error) => error instanceof ScheduleError && error.field === "timezone" && /IANA/.test(error.message),
    );
  });

test("zones are written as the database writes them", () => {
  assert.equal(checkedTimetable("@daily", "america/new_york").timeZone, "America/New_York");
  assert.equal(checkedTimetable("@DAILY", "utc").timeZone, "UTC");
});

test("spec 14.1: minutes; a time is after the instant it is asked for, to the millisecond", () => {
  const every = checkedTimetable("* * * * *", "UTC");
  assert.equal(iso(nextRunAt(every, at("2026-01-01T00:00:00.000Z"))), "2026-01-01T00:01:00Z");
  assert.equal(iso(nextRunAt(every, at("2025-12-31T23:59:59.999Z"))), "2026-01-01T00:00:00Z");
  assert.equal(iso(lastRunAt(every, at("2026-01-01T00:00:00.000Z"))), "2026-01-01T00:00:00Z");
  assert.equal(iso(lastRunAt(every, at("2025-12-31T23:59:59.999Z"))), "2025-12-31T23:59:00Z");
});

test("either day field is enough, as in cron", () => {
  const either = checkedTimetable("0 0 13 * 5", "UTC");
  assert.equal(iso(nextRunAt(either, at("2026-01-01T00:00:00Z"))), "2026-01-02T00:00:00Z");
  assert.equal(iso(nextRunAt(either, at("2026-01-09T00:00:00Z"))), "2026-01-13T00:00:00Z");
});

test("a time that summer time leaves out comes right after it; one that winter time repeats comes once", () => {
  const night = checkedTimetable("30 2 * * *", "Europe/Berlin");
  assert.equal(iso(nextRunAt(night, at("2026-03-28T12:00:00Z"))), "2026-03-29T01:00:00Z");
  assert.equal(iso(nextRunAt(night, at("2026-03-29T01:00:00Z"))), "2026-03-30T00:30:00Z");
  assert.equal(iso(nextRunAt(night, at("2026-10-24T12:00:00Z"))), "2026-10-25T00:30:00Z");
  assert.equal(iso(nextRunAt(night, at("2026-10-25T00:30:00Z"))), "2026-10-26T01:30:00Z");
});

test("an interval goes on evenly through both changes of the clock", () => {
  const half = checkedTimetable("*/30 * * * *", "Europe/Berlin");
  for (const day of ["2026-03-29", "2026-10-25"]) {
    let time = at(`${day}T00:00:00Z`);
    for (let count = 0; count < 8; count++) {
      const next = nextRunAt(half, time) ?? 0;
      assert.equal(next - time, 30 * 60_000);
      time = next;
    }
  }
});

const anyTimetable: fc.Arbitrary<Timetable> = fc.record({
  cron: fc.constantFrom(
    "* * * * *",
    "*/7 * * * *",
    "30 2 * * *",
    "0 */3 * * *",
    "15 1,2,3 * * 0",
    "0 0 29 2 *",
    "@weekly",
  ),
  timeZone: fc.constantFrom("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"),
});
const anyInstant = fc.integer({ min: at("2025-01-01T00:00:00Z"), max: at("2032-01-01T00:00:00Z") });
/** Around changes of the clock, where things go wrong. */
const nearChange = fc
  .tuple(
    fc.constantFrom("2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z", "2026-03-08T07:00:00Z", "2026-11-01T06:00:00Z"),
    fc.integer({ min: -5 * 3_600_000, max: 5 * 3_600_000 }),
  )
  .map(([instant, offset]) => at(instant) + offset);

test("no time lies between an instant and its next, and the last of a time is that time", () => {
  fc.assert(
    fc.property(
      anyTimetable,
      fc.oneof(anyInstant, nearChange),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (timetable, after, part) => {
        const next = nextRunAt(timetable, after);
        assert.ok(next !== null && next > after && next % 60_000 === 0);
        assert.equal(lastRunAt(timetable, next), next);
        const between = Math.floor(after + (next - 1 - after) * part);
        assert.equal(nextRunAt(timetable, between), next);
        const last = lastRunAt(timetable, between);
        assert.ok(last !== null && last <= after, `${iso(last)} ${iso(after)}`);
        assert.equal(nextRunAt(timetable, last), next);
      },
    ),
    { numRuns: 2000 },
  );
});

test("a schedule without a name is called after its command", () => {
  assert.equal(nameFor("npm run send-email"), "npm-run-send-email");
  assert.equal(nameFor("$(reboot)"), "reboot");
  assert.equal(nameFor("\u{1F600}"), "schedule");
  assert.equal(nameFor(`${"x".repeat(39)} y`), "x".repeat(39));
});
