import assert from "node:assert/strict";
import { test } from "node:test";
import { environment, windowOf } from "./call-environment.ts";

test("spec 3.9: the call's environment becomes text; with a terminal its size is the terminal's", () => {
  const env = { TERM: "xterm", COLUMNS: 120, LINES: 40, A: "1" };
  assert.deepEqual(environment(env, true), { TERM: "xterm", A: "1" });
  assert.deepEqual(environment(env, false), { TERM: "xterm", COLUMNS: "120", LINES: "40", A: "1" });
  assert.deepEqual(windowOf(env), { rows: 40, columns: 120 });
  assert.deepEqual(windowOf({}), { rows: 24, columns: 80 });
  assert.deepEqual(windowOf({ LINES: "-1", COLUMNS: 1e9 }), { rows: 24, columns: 80 });
});

test("what no environment can carry is refused", () => {
  for (const env of [{ "A=B": "1" }, { "": "1" }, { "1A": "1" }, { A: "\0" }, { A: "x".repeat(70_000) }]) {
    assert.throws(() => environment(env, false), /env/);
  }
});
