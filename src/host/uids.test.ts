import assert from "node:assert/strict";
import { test } from "node:test";
import { BLOCK, chooseBlock, parseClaims } from "./uids.ts";

test("the first free block, and the same one for ever", () => {
  const claims = parseClaims("root:100000:65536\nstator-a:536870912:268435456\nodd\n:1:2\n");
  assert.equal(chooseBlock("stator-a", claims), 0x2000_0000);
  assert.equal(chooseBlock("stator-b", claims), 0x2000_0000 + BLOCK);
  assert.equal(
    chooseBlock("stator-b", [...claims, { user: "x", start: 0x2000_0000 + 2 * BLOCK - 1, count: 2 }]),
    0x2000_0000 + 3 * BLOCK,
  );
});

test("nothing is taken when nothing is free", () => {
  assert.equal(chooseBlock("me", [{ user: "all", start: 0, count: 2 ** 32 }]), undefined);
});
