import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { contains, formatAddress, networkOf, overlap, parseAddress, parseBlock } from "./address-block.ts";

const block = (text: string) => parseBlock(text) ?? assert.fail(text);

test("blocks are parsed strictly", () => {
  assert.deepEqual(parseBlock("10.1.2.3"), { base: 0x0a010203, prefix: 32 });
  for (const text of ["default", "10.1.2.3/33", "10.1.2.3/", "10.1.2.300", "10.1.2.3/8/8", "fd00::/8"])
    assert.equal(parseBlock(text), undefined, text);
});

test("an address is the same text again", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffffffff }), (address) =>
      assert.equal(parseAddress(formatAddress(address)), address),
    ),
  );
});

test("a block contains what begins as it does and is no larger", () => {
  assert.ok(contains(block("10.0.0.0/8"), block("10.255.0.0/16")));
  assert.ok(contains(block("10.0.0.0/8"), block("10.0.0.0/8")));
  assert.ok(contains(block("0.0.0.0/0"), block("203.0.113.7")));
  assert.ok(!contains(block("10.0.0.0/8"), block("11.0.0.0/16")));
  assert.ok(!contains(block("10.0.0.0/16"), block("10.0.0.0/8")));
  assert.ok(!contains(block("128.0.0.0/1"), block("127.0.0.1")));
});

test("of blocks that share an address, one contains the other", () => {
  const any = fc.record({ base: fc.integer({ min: 0, max: 0xffffffff }), prefix: fc.integer({ min: 1, max: 32 }) });
  fc.assert(
    fc.property(any, any, (one, other) =>
      assert.equal(overlap(one, other), contains(one, other) || contains(other, one)),
    ),
  );
});

test("the first address of a block", () => {
  assert.equal(networkOf(block("192.168.77.5").base, 16), block("192.168.0.0").base);
  assert.equal(networkOf(0xffffffff, 0), 0);
  assert.equal(networkOf(0xffffffff, 32), 0xffffffff);
});
