import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MarkerKeeper } from "./exit-marker.ts";

/** What begins like the mark, or nearly. */
const OUTPUT = fc.string({
  unit: fc.constantFrom("\uFFFF", "\uFFFE", "\uF000", "é", "x", "\n", "\uFFFF heroku-"),
  maxLength: 60,
});
const LINE = "\uFFFF heroku-command-exit-status: 42\r\n";

/** What is written, when `text` comes in pieces cut at these places. */
function written(text: string, cuts: readonly number[]): readonly Buffer[] {
  const bytes = Buffer.from(text);
  const keeper = new MarkerKeeper();
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  const parts = places.slice(1).flatMap((to, index) => keeper.push(bytes.subarray(places[index], to)));
  return [...parts, ...keeper.rest()].map((part) => Buffer.from(part));
}

test("platform-api 3.1.7: however it is cut, the line with the exit status is written in one part", () => {
  fc.assert(
    fc.property(OUTPUT, fc.array(fc.nat(1000), { maxLength: 5 }), (before, cuts) => {
      const parts = written(before + LINE, cuts);
      assert.equal(Buffer.concat(parts).toString(), before + LINE);
      assert.ok(parts.some((part) => part.toString().includes("heroku-command-exit-status: 42\r\n")));
      assert.ok(parts.some((part) => part.includes(LINE.slice(0, -2))));
    }),
  );
});

test("all output passes, whatever it holds, and what cannot be the mark is not held back", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 })), (chunks) => {
      const keeper = new MarkerKeeper();
      const out = [...chunks.flatMap((chunk) => keeper.push(chunk)), ...keeper.rest()];
      assert.deepEqual(Buffer.concat(out), Buffer.concat(chunks));
    }),
  );
  const keeper = new MarkerKeeper();
  assert.equal(Buffer.concat(keeper.push(Buffer.from("~ $ "))).toString(), "~ $ ");
  const endless = Buffer.from(`\uFFFF${"x".repeat(100)}`);
  assert.deepEqual(Buffer.concat(keeper.push(endless)), endless);
});
