import assert from "node:assert/strict";
import { test } from "node:test";
import { parseUpdates, planPush, REFS_MAX } from "../../buildkit/updates.ts";

const [NONE, A, B] = ["0".repeat(40), "a".repeat(40), "b".repeat(40)];
const plan = (...lines: readonly string[]) => planPush(parseUpdates(`${lines.join("\n")}\n`));

test("spec 9.1: main and master are built, main first; other branches and tags are stored", () => {
  assert.deepEqual(plan(`${NONE} ${A} refs/heads/main`), {
    kind: "build",
    ref: "refs/heads/main",
    commit: A,
    lines: [],
  });
  const both = plan(`${NONE} ${B} refs/heads/master`, `${NONE} ${A} refs/heads/main`);
  assert.equal(both.kind === "build" && both.commit, A);
  assert.match(both.lines.join(), /Stored master/);
  assert.deepEqual(plan(`${NONE} ${A} refs/tags/v1`), { kind: "store", lines: [] });
  assert.equal(plan(`${NONE} ${A} refs/heads/feature/main`).kind, "store");
  assert.equal(plan(`${A} ${NONE} refs/heads/old`).kind, "store");
});

test("the deployed branch cannot be deleted, and nothing else of such a push happens", () => {
  assert.equal(plan(`${A} ${NONE} refs/heads/main`, `${NONE} ${B} refs/heads/master`).kind, "refuse");
});

test("a branch's name cannot draw on the pusher's terminal", () => {
  const { lines } = plan(`${NONE} ${A} refs/heads/\u001b[2J\u009b31m evil`);
  assert.match(lines.join(), /Stored \?\[2J\?31m evil,/);
});

test("too many refs at once are refused", () => {
  const updates = Array.from({ length: REFS_MAX + 1 }, (_, index) => ({
    before: NONE,
    after: A,
    ref: `refs/heads/${index}`,
  }));
  assert.equal(planPush(updates).kind, "refuse");
});
