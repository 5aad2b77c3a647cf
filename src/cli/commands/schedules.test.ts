import assert from "node:assert/strict";
import { test } from "node:test";
import { Input, UsageError } from "../command.ts";
import { outcomeOf, type RunJson, type ScheduleJson } from "../schedules.ts";
import { format } from "./schedules.ts";
import { bodyOf } from "./schedules-add.ts";
import { format as formatInfo } from "./schedules-info.ts";

const now = new Date(2026, 4, 2, 15, 56, 13);
const time = /\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d [+-]\d{4}/g;
const RUN: RunJson = {
  outcome: "started",
  created_at: new Date(now.getTime() - 360_000).toISOString(),
  due_at: new Date(now.getTime() - 360_000).toISOString(),
  ended_at: now.toISOString(),
  exit_status: 1,
  missed: 0,
  reason: null,
  dyno: { name: "scheduler.12" },
};
const TIDY: ScheduleJson = {
  id: "1",
  name: "tidy",
  command: "tidy --all",
  schedule: "0 4 * * *",
  timezone: "Europe/Berlin",
  concurrency_policy: "forbid",
  size: null,
  enabled: true,
  source: "api",
  next_run_at: now.toISOString(),
  running: [],
  last_run: RUN,
};

test("schedules: one line each, with what became of the last run", () => {
  const off: ScheduleJson = { ...TIDY, name: "mail", enabled: false, last_run: null };
  assert.deepEqual(
    format([TIDY, off], "hello", now).map((line) => line.replaceAll(time, "T").replaceAll(/ {2,}/g, "  ")),
    [
      "=== hello Schedules",
      "",
      "Name  Schedule  Next Run  Last Run  Command",
      "tidy  0 4 * * * Europe/Berlin  T  exited with status 1, T (~ 6m ago)  tidy --all",
      "mail  0 4 * * * Europe/Berlin  off  never  tidy --all",
    ],
  );
  assert.deepEqual(format([], "hello", now), ["hello has no schedules."]);
});

test("schedules:info shows the runs, and why one did not run", () => {
  const skipped: RunJson = {
    ...RUN,
    outcome: "skipped",
    reason: "it was due, and scheduler.12 still runs",
    dyno: null,
  };
  const lines = formatInfo(TIDY, [skipped, RUN, { ...RUN, due_at: null }]).map((line) => line.replaceAll(time, "T"));
  assert.deepEqual(lines.slice(-3), [
    "T  skipped: it was due, and scheduler.12 still runs",
    "T  exited with status 1 (scheduler.12)",
    "T (run now)  exited with status 1 (scheduler.12)",
  ]);
});

test("what became of a run, in words", () => {
  assert.equal(outcomeOf({ ...RUN, ended_at: null }), "running as scheduler.12");
  assert.equal(outcomeOf({ ...RUN, exit_status: null }), "lost or not started");
  assert.equal(outcomeOf({ ...RUN, outcome: "missed", missed: 7 }), "missed 7 times");
});

test("schedules:add takes a line and a command; without them it says how", () => {
  const flags = new Map([
    ["schedule", "@daily"],
    ["timezone", "Europe/Berlin"],
    ["concurrency", "allow"],
  ]);
  assert.deepEqual(bodyOf(new Input(["tidy", "--all"], flags)), {
    command: "tidy --all",
    schedule: "@daily",
    timezone: "Europe/Berlin",
    concurrency_policy: "allow",
  });
  assert.throws(() => bodyOf(new Input(["tidy"], new Map())), UsageError);
  assert.throws(() => bodyOf(new Input([], flags)), UsageError);
});
