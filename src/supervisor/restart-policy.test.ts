import assert from "node:assert/strict";
import { test } from "node:test";
import { nextStartAt, RESTART_POLICIES, withCrash } from "./restart-policy.ts";

const { steady, heroku } = RESTART_POLICIES;
const MINUTE = 60_000;
const waits = (policy: typeof steady) =>
  [1, 2, 3, 4, 5, 6, 7, 8, 9, 99].map((count) => nextStartAt(policy, { name: "web.1", count, lastAt: 0 }, 0));

test("spec 3.4: steady: at once, 5 s, 10 s, 20 s, ... at most five minutes", () => {
  assert.deepEqual(
    waits(steady).map((ms) => ms / 1000),
    [0, 5, 10, 20, 40, 80, 160, 300, 300, 300],
  );
});

test("spec 3.4: heroku: at once, 20, 40, 60, 180 minutes, then every 320", () => {
  assert.deepEqual(
    waits(heroku).map((ms) => ms / MINUTE),
    [0, 20, 40, 60, 180, 320, 320, 320, 320, 320],
  );
});

test("spec 3.4: no crash on record, no wait", () => assert.equal(nextStartAt(heroku, undefined, 5), 5));

test("spec 3.4: crashes in a row count up; one after a long life is the first again", () => {
  const at = 1000;
  const first = withCrash(steady, undefined, { name: "web.1", ranMs: 10, at });
  assert.deepEqual(first, { name: "web.1", count: 1, lastAt: at });
  const second = withCrash(steady, first, { name: "web.1", ranMs: 10 * MINUTE - 1, at });
  assert.equal(second.count, 2);
  assert.equal(withCrash(steady, second, { name: "web.1", ranMs: 10 * MINUTE, at }).count, 1);
  assert.equal(withCrash(heroku, second, { name: "web.1", ranMs: MINUTE, at }).count, 1);
});

test("a clock that was set back does not keep a dyno down", () => {
  const crash = { name: "web.1", count: 3, lastAt: 1_000_000 };
  assert.equal(nextStartAt(steady, crash, 0), 0);
});
