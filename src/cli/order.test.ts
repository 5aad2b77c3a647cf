import assert from "node:assert/strict";
import { test } from "node:test";
import { byWords, naturally } from "./order.ts";

const WORDS = ["beta", "a10", "Zed", "ünder", "3.10", "Alpha", "item-2", "a9", "3.5", "_x", "item 10"];

test("tables are sorted as the official client's: numbers in words by what they say, whatever the case", () => {
  const sorted = ["3.10", "3.5", "_x", "a9", "a10", "Alpha", "beta", "item 10", "item-2", "ünder", "Zed"];
  assert.deepEqual(
    naturally(WORDS, (word) => word),
    sorted,
  );
  assert.deepEqual(
    naturally(["10", "9", "007", "7", "1e1"], (word) => word),
    ["007", "7", "9", "10", "1e1"],
  );
  assert.deepEqual(
    naturally(["web.10", "web", "web.2", "web."], (word) => word),
    ["web", "web.", "web.2", "web.10"],
  );
});

test("lists are sorted as people's words are", () => {
  const sorted = ["_x", "3.10", "3.5", "a10", "a9", "Alpha", "beta", "item 10", "item-2", "ünder", "Zed"];
  assert.deepEqual(
    byWords(WORDS, (word) => word),
    sorted,
  );
});
