import assert from "node:assert/strict";
import { test } from "node:test";
import { dynoRecord } from "../../test/support/dyno.ts";
import type { ObservedDyno, ObservedState } from "../engine/engine.ts";
import type { DynoRecord } from "../model/dyno.ts";
import { DEFAULT_RUNTIME } from "../model/runtime.ts";
import type { Desired } from "./desired.ts";
import { plan } from "./plan.ts";
import { Ahead, attemptKey, Deadlines, type Situation } from "./situation.ts";

const NOW = 1_000_000_000;
const HOUR = 3_600_000;

const dyno = (change: Partial<DynoRecord> = {}) => dynoRecord(change, NOW - HOUR);
const oneOff = {
  attach: false,
  awaiting: false,
  terminal: null,
  env: {},
  timeToLive: null,
  userEmail: "me@example.com",
};
const run = (change: Partial<DynoRecord> = {}) => dyno({ kind: "run", name: "run.1", type: "run", oneOff, ...change });
const seen = (state: ObservedState, id = "one"): ObservedDyno => ({
  id,
  appId: "app",
  kind: "formation",
  name: "web.1",
  releaseId: "v3",
  state,
});
const running = (since = NOW - HOUR, listening = true) => seen({ kind: "running", since, listening, address: null });
const wanted = { name: "web.1", type: "web", size: "Basic", command: "run" };
const desired: Desired = {
  app: { id: "app", ...DEFAULT_RUNTIME },
  current: { id: "v3", version: 3, since: 0, command: null, types: ["web"], dynos: [wanted] },
  candidate: null,
  overtaken: [],
  isAsleep: false,
};
const none: Desired = {
  ...desired,
  current: { id: "v3", version: 3, since: 0, command: null, types: ["web"], dynos: [] },
};
const planned = (change: Partial<Situation> = {}) =>
  plan({ desired, records: [], observed: [], crashes: [], attempts: new Map(), now: NOW, ...change });
const kinds = (change: Partial<Situation>) => planned(change).actions.map(({ kind }) => kind);

test("what is as it should be needs nothing, and no early look", () => {
  assert.deepEqual(planned({ records: [dyno()], observed: [running()] }), {
    actions: [],
    lookAgainAt: null,
    unsettled: false,
  });
});

test("planning twice equals planning once, and changes nothing of what it was made from", () => {
  const situation: Situation = Object.freeze({
    desired,
    records: [dyno({ state: "starting" }), run({ id: "two", oneOff: { ...oneOff, awaiting: true } })],
    observed: [running(NOW - 70_000, false), seen({ kind: "running", since: 0, listening: false, address: null }, "x")],
    crashes: [{ name: "worker.1", count: 2, lastAt: NOW }],
    attempts: new Map(),
    now: NOW,
  });
  const before = structuredClone({ ...situation, attempts: [] });
  assert.deepEqual(plan(situation), plan(situation));
  assert.deepEqual({ ...situation, attempts: [] }, before);
});

test("a missing dyno is made, and launched only from its record", () => {
  assert.deepEqual(kinds({}), ["create"]);
  const fresh = dyno({ state: "starting", launchedAt: null });
  assert.deepEqual(kinds({ records: [fresh] }), ["change", "launch"]);
});

test("a release is not current by a dyno whose end was just seen, before that is on record", () => {
  const candidate = { ...(desired.current ?? assert.fail()), id: "v4", version: 4 };
  const pending = { desired: { ...none, candidate }, records: [dyno({ releaseId: "v4" })] };
  assert.ok(kinds({ ...pending, observed: [running()] }).includes("promote"));
  const ended = seen({ kind: "ended", at: NOW, status: 1, outOfMemory: false });
  assert.ok(!kinds({ ...pending, observed: [ended] }).includes("promote"));
});

test("spec 3.2: the boot timeout is looked for exactly when it comes", () => {
  const starting = { records: [dyno({ state: "starting" })], observed: [running(NOW - 10_000, false)] };
  assert.deepEqual(planned(starting), { actions: [], lookAgainAt: NOW + 50_000, unsettled: true });
});

test("spec 3.9: without a time to live a one-off dyno has 24 hours", () => {
  const records = [run()];
  const at = planned({ desired: none, records, observed: [running(NOW)] }).lookAgainAt;
  assert.equal(at, NOW + 24 * HOUR);
  assert.deepEqual(kinds({ desired: none, records, observed: [running(NOW - 24 * HOUR)] }), ["change"]);
});

test("a one-off dyno is up once it has run for a moment; one that ends sooner was up, as its log says", () => {
  const records = [run({ state: "starting" })];
  const fresh = planned({ desired: none, records, observed: [running(NOW - 5)] });
  assert.deepEqual([fresh.actions, fresh.lookAgainAt], [[], NOW + 20]);
  const [up] = planned({ desired: none, records, observed: [running(NOW - 25)] }).actions;
  assert.equal(up?.kind === "change" && up.change.state, "up");
  const end = { kind: "ended", at: NOW, status: 0, outOfMemory: false } as const;
  const [ended, ...others] = planned({ desired: none, records, observed: [seen(end)] }).actions;
  assert.deepEqual(others, []);
  assert.ok(ended?.kind === "change" && ended.change.state === "complete");
  assert.deepEqual(
    ended.lines.map(({ text }) => text),
    ["State changed from starting to up", "Process exited with status 0", "State changed from up to complete"],
  );
});

test("a clock that was set back by an hour neither holds up a deadline nor brings it forward", () => {
  const stopping = { since: NOW + HOUR, reason: "scale", killed: false } as const;
  const attempts = new Map([
    [attemptKey("TERM", "one"), { doneAt: NOW + HOUR, failures: 0, error: null, message: "", nextAt: 0 }],
  ]);
  const records = [dyno({ state: "down", stopping })];
  const situation = { desired: none, records, observed: [running()], attempts, ahead: new Ahead() };
  const first = planned(situation);
  assert.deepEqual([first.actions, first.lookAgainAt], [[], NOW + 30_000]);
  assert.deepEqual(kinds({ ...situation, now: NOW + 30_000 }), ["change"]);
});

test("spec 3.3: after a restart of the daemon SIGTERM is sent again, and the grace begins anew", () => {
  const stopping = { since: NOW - HOUR, reason: "scale", killed: false } as const;
  const records = [dyno({ state: "down", stopping })];
  const { actions } = planned({ desired: none, records, observed: [running()] });
  assert.deepEqual(actions, [{ kind: "signal", dynoId: "one", signal: "TERM", settle: true }]);
});

test("what has ended on record but lives is removed, and so is what no record knows", () => {
  const ended = dyno({
    state: "down",
    stopping: { since: 0, reason: "scale", killed: true },
    exit: { at: NOW, status: null },
  });
  assert.deepEqual(kinds({ desired: none, records: [ended], observed: [running()] }), ["forget"]);
  assert.deepEqual(kinds({ desired: null, observed: [running()] }), ["forget"]);
});

test("spec 3.9: a one-off that the host refuses for a minute ends, and is not started later", () => {
  const refused = { doneAt: null, failures: 3, error: "no_capacity", message: "no room", nextAt: NOW } as const;
  const attempts = new Map([[attemptKey("launch", "one"), refused]]);
  const records = [run({ state: "starting", launchedAt: NOW - 61_000 })];
  const [action] = planned({ desired: none, records, attempts }).actions;
  assert.equal(action?.kind === "change" && action.change.state, "complete");
});

test("what began ahead of the clock, since that was set back, counts from when it was first seen so", () => {
  const ahead = new Ahead();
  const hasPassed = (since: number, now: number) => new Deadlines(now, ahead).passed(since, 60_000);
  assert.equal(hasPassed(NOW + 3_600_000, NOW), false, "a young dyno is not killed for it");
  assert.equal(hasPassed(NOW + 3_600_000, NOW + 59_999), false);
  assert.equal(hasPassed(NOW + 3_600_000, NOW + 60_000), true);
  assert.equal(hasPassed(NOW + 3_600_000, NOW + 3_600_001), true, "nor begins it anew when the clock comes there");
  assert.equal(hasPassed(NOW + 1_000, NOW), false, "a little ahead is no change of the clock");
  assert.equal(hasPassed(NOW + 1_000, NOW + 61_000), true);
  assert.equal(hasPassed(NOW - 60_000, NOW), true);
});
