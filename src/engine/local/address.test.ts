import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { overlap, parseBlock } from "../../model/address-block.ts";
import {
  address6Of,
  addressOf,
  chooseRange,
  indexOf,
  indexOf6,
  isBuildIndex,
  nextIndex,
  prefix6Of,
} from "./address.ts";

const block = (text: string) => parseBlock(text) ?? assert.fail(text);

test("every index has an address of its own, and the address gives it back", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 1, max: 0xffff }), (octet, last) => {
      const index = nextIndex(last, false, new Set()) ?? assert.fail();
      assert.equal(indexOf({ octet }, addressOf({ octet }, index)), index);
    }),
  );
});

test("every index has an IPv6 address too, in the instance's own /64", () => {
  assert.equal(prefix6Of("00ab0d", { octet: 9 }), "fd53:00ab:0d09:1");
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 0xffff }), (last) => {
      const prefix = prefix6Of("00ab0d", { octet: 9 });
      const index = nextIndex(last, false, new Set()) ?? assert.fail();
      assert.equal(indexOf6(prefix, address6Of(prefix, index)), index);
      assert.equal(indexOf6(prefix, `fd53:ab:d09:1::${index.toString(16)}`), index); // as the kernel's tools write it
    }),
  );
  for (const address of ["fd53:ab:d09:1::1", "fd53:ab:d09:2::5", "fd53:ab:d09:1::1:5", "::5", ""])
    assert.equal(indexOf6("fd53:00ab:0d09:1", address), undefined, address);
});

test("indexes go round, pass by those in use, and end when all are", () => {
  assert.equal(nextIndex(0, false, new Set()), 2);
  assert.equal(nextIndex(2, false, new Set([3, 4])), 5);
  assert.equal(nextIndex(0xeffe, false, new Set()), 2);
  assert.equal(nextIndex(254, false, new Set()), 257); // neither .255 nor .0
  assert.equal(nextIndex(0, false, { has: () => true }), undefined);
});

test("build dynos have indexes of their own block", () => {
  const index = nextIndex(0, true, new Set()) ?? assert.fail();
  assert.ok(isBuildIndex(index));
  assert.ok(overlap(block("10.9.240.0/20"), block(addressOf({ octet: 9 }, index))));
  assert.ok(!isBuildIndex(nextIndex(0xeffd, false, new Set()) ?? assert.fail()));
});

test("addresses that no dyno can have give no index", () => {
  for (const address of ["10.9.0.1", "10.9.0.0", "10.9.3.255", "10.8.0.5", "11.9.0.5", "10.9.0", "10.9.0.5x", ""])
    assert.equal(indexOf({ octet: 9 }, address), undefined, address);
});

test("the remembered range is kept while it is free, another taken when it is not", () => {
  assert.deepEqual(chooseRange("000010", { octet: 7 }, []), { octet: 7 });
  assert.deepEqual(chooseRange("000010", { octet: 7 }, [block("10.7.4.0/24")]), { octet: 16 });
  assert.deepEqual(chooseRange("000010", undefined, [block("10.16.0.0/12")]), { octet: 32 });
  assert.equal(chooseRange("000010", undefined, [block("10.0.0.0/8")]), undefined);
});

test("the default route takes no range", () => {
  assert.deepEqual(chooseRange("000010", undefined, [block("0.0.0.0/0")]), { octet: 16 });
});
