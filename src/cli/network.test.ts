import assert from "node:assert/strict";
import { test } from "node:test";
import { Input, UsageError } from "./command.ts";
import { destinationOf } from "./network.ts";

const destination = (...words: readonly string[]) => destinationOf("network:allow", new Input(words, new Map()));

test("one destination is named", () => {
  assert.equal(destination("10.0.0.5:5432").text, "10.0.0.5:5432");
});

for (const [what, words, sentence] of [
  ["none", [], /^Usage: stator network:allow ADDRESS\[:PORT\] -a APP/],
  ["two", ["10.0.0.5", "10.0.0.6"], /^Usage: /],
  ["a name", ["db.internal:5432"], /names are not taken/],
] as const)
  test(`${what} is refused with what to type`, () => {
    assert.throws(
      () => destination(...words),
      (error) => error instanceof UsageError && sentence.test(error.message),
    );
  });
