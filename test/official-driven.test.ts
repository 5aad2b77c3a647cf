import assert from "node:assert/strict";
import { test } from "node:test";
import { drivenOf } from "./support/official-driven.ts";

test("a command of the official CLI that no test drove is a failure, and one that was driven says how it ended", () => {
  const none = { aliases: [], flags: [] };
  const known = { "ps:scale": { ...none, aliases: ["scale"] }, regions: none };
  assert.deepEqual(drivenOf(["ps:scale 0", "scale 0", "ps:scale 2", "other 0"], known), [
    { title: "heroku ps:scale: ended 2 times with 0, 1 time with 2", isGood: true },
    { title: "heroku regions: not driven", isGood: false },
  ]);
});
