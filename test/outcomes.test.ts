import assert from "node:assert/strict";
import { test } from "node:test";
import { failuresIn } from "./outcomes.ts";

test("what failed is told without the test runner's own files, and an output without that by its last lines", () => {
  const output = [
    "✔ one (1 ms)",
    "✖ two (2 ms)",
    "ℹ tests 2",
    "",
    "✖ failing tests:",
    "",
    "test at test/e2e/two.test.ts:7:1",
    "✖ two (2 ms)",
    "  Error: refused",
    "      at file:///work/two.test.ts:8:3",
    "      at async Test.run (node:internal/test_runner/test:1409:7)",
  ].join("\n");
  assert.deepEqual(failuresIn(`${output}\n`).split("\n"), [
    "test at test/e2e/two.test.ts:7:1",
    "✖ two (2 ms)",
    "  Error: refused",
    "      at file:///work/two.test.ts:8:3",
  ]);
  const many = Array.from({ length: 100 }, (_, n) => `line ${n}`).join("\n");
  assert.deepEqual([failuresIn(many).split("\n").length, failuresIn(many).split("\n").at(-1)], [40, "line 99"]);
});
