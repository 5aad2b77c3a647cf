import assert from "node:assert/strict";
import { test } from "node:test";
import { dynoRecord } from "../../test/support/dyno.ts";
import { type DynoRecord, endedOneOffs, ordinalOf, routedDynos, shownDynos } from "./dyno.ts";

const dyno = (id: string, change: Partial<DynoRecord> = {}) => dynoRecord({ id, releaseId: "v1", ...change });
const ids = (records: readonly DynoRecord[]) => records.map((each) => each.id);

test("the number in a dyno's name", () => {
  assert.deepEqual(["web.12", "run.4711", "web", ".1", "web.x"].map(ordinalOf), [12, 4711, 0, 0, 0]);
});

test("spec 3.7: ps shows the newest dyno of each name, and none that is down or complete", () => {
  const records = [
    dyno("old", { createdAt: 1 }),
    dyno("new", { createdAt: 2, state: "starting" }),
    dyno("gone", { createdAt: 3, state: "down" }),
    dyno("ten", { name: "web.10" }),
    dyno("two", { name: "web.2", state: "crashed" }),
    dyno("one-off", { kind: "run", type: "run", name: "run.5" }),
    dyno("done", { kind: "run", type: "run", name: "run.6", state: "complete" }),
  ];
  assert.deepEqual(ids(shownDynos(records)), ["one-off", "new", "two", "ten"]);
});

test("requests go to web dynos that are up, ready and not stopping", () => {
  const stopping = { since: 1, reason: "restart", killed: false } as const;
  const records = [
    dyno("a"),
    dyno("b", { name: "web.2", state: "starting" }),
    dyno("c", { name: "web.3", stopping }),
    dyno("d", { name: "web.4", state: "crashed", exit: { at: 1, status: 1 } }),
    dyno("e", { name: "worker.1", type: "worker" }),
    dyno("f", { name: "web.5", kind: "run" }),
    dyno("g", { name: "web.6", ready: false }),
  ];
  assert.deepEqual(ids(routedDynos(records, "v1")), ["a"]);
});

test("a pending release's dyno gets requests only where the current one has none up", () => {
  const records = [dyno("old"), dyno("new", { releaseId: "v2" }), dyno("new2", { name: "web.2", releaseId: "v2" })];
  assert.deepEqual(ids(routedDynos(records, "v1")), ["old", "new2"]);
  assert.deepEqual(ids(routedDynos(records, "v2")), ["new", "new2"]);
  assert.deepEqual(ids(routedDynos([...records].reverse(), "v2")).sort(), ["new", "new2"]);
});

test("spec 3.9: of one-off dynos those that have ended, the latest first", () => {
  const ended = (id: string, at: number, change: Partial<DynoRecord> = {}) =>
    dyno(id, { kind: "run", state: "complete", exit: { at, status: 0 }, ...change });
  const records = [ended("a", 1), ended("b", 3), ended("c", 2), ended("crashed", 9, { kind: "formation" })];
  assert.deepEqual(ids(endedOneOffs([...records, dyno("runs", { kind: "run" })])), ["b", "c", "a"]);
});
