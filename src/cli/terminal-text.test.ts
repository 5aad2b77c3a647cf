import assert from "node:assert/strict";
import { test } from "node:test";
import { HarmlessText, harmless } from "./terminal-text.ts";

test("colours, tabs and line ends stay; whatever else a terminal would obey does not", () => {
  assert.equal(harmless("\x1b[1;31mred\x1b[0m\tand\nmore ⬢ é"), "\x1b[1;31mred\x1b[0m\tand\nmore ⬢ é");
  assert.equal(harmless("a\x1b[2J\x1b]0;title\x07\x1bc\x9b2Jb\x7f\x08\r\0"), "a[2J]0;titlec2Jb");
});

test("a text in pieces is the same text, wherever it is cut", () => {
  const bytes = Buffer.from("10 %\r20 %\r\n\x1b[38;5;1mé⬢\x1b[m\x1b[2J\x1b]52;c;eA==\x07.\n");
  for (let step = 1; step <= bytes.length; step++) {
    const text = new HarmlessText();
    let shown = "";
    for (let at = 0; at < bytes.length; at += step) shown += text.push(bytes.subarray(at, at + step));
    assert.equal(shown, "10 %\r20 %\r\n\x1b[38;5;1mé⬢\x1b[m[2J]52;c;eA==.\n", `pieces of ${step}`);
  }
  const endless = new HarmlessText();
  assert.equal(endless.push(Buffer.from(`\x1b[${"1".repeat(100)}`)), `[${"1".repeat(100)}`, "no colour is that long");
});
