import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { cleanText, cutAt, LINE_BYTES_MAX, splitText, textOf } from "./text.ts";

test("control characters go, tabs and colours stay", () => {
  assert.equal(cleanText("a\tb\r\0\x07\x0b\x7f\u0085c"), "a\tbc");
  assert.equal(cleanText("\x1b[1;31mred\x1b[0m"), "\x1b[1;31mred\x1b[0m");
  assert.equal(cleanText("\x1b]0;title\x07\x1b[2Jx\x1b"), "]0;title[2Jx");
  assert.equal(cleanText("data: x\r\n\r\ndata: forged"), "data: xdata: forged");
});

test("spec 8.1: whatever bytes come, the text of a piece is at most 10,000 bytes and one line", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.integer({ min: 1, max: 600 }), (unit, times) => {
      const bytes = Buffer.concat(Array.from({ length: times }, () => unit)).subarray(0, LINE_BYTES_MAX);
      const text = textOf(bytes);
      // oxlint-disable-next-line no-control-regex
      return Buffer.byteLength(text) <= LINE_BYTES_MAX && !/[\r\n\0]/.test(text) && text.isWellFormed();
    }),
  );
});

test("spec 8.1: long text is cut between characters and nothing of it is lost", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "grapheme", minLength: 1, maxLength: 50 }),
      fc.integer({ max: 900, min: 1 }),
      (unit, n) => {
        const text = unit.repeat(n);
        const pieces = splitText(text);
        assert.equal(pieces.join(""), text);
        assert.ok(pieces.every((piece) => Buffer.byteLength(piece) <= LINE_BYTES_MAX));
        // What a cut in the midst of a character would leave, unless the text itself holds it.
        assert.ok(unit.includes("\u{fffd}") || pieces.every((piece) => !piece.includes("\u{fffd}")));
      },
    ),
  );
});

test("bytes that are no characters are cut all the same", () => {
  assert.equal(cutAt(Buffer.alloc(20_000, 0x80)), LINE_BYTES_MAX);
  assert.equal(cutAt(Buffer.from("é".repeat(10_000))), LINE_BYTES_MAX);
  assert.equal(cutAt(Buffer.from(`x${"é".repeat(10_000)}`)), LINE_BYTES_MAX - 1);
});
