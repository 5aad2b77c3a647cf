import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { linesOf, quoted, shellValue, unquoted, varsOf } from "./config-text.ts";

test("config:edit: quoted as the official client does it", () => {
  const vars = { B: "it's", A: "plain/1.2", C: "two words", D: "a\nb", E: "" };
  assert.equal(linesOf(vars), `A=plain/1.2\nB="it's"\nC='two words'\nD="a\\nb"\nE=\n`);
  assert.deepEqual(varsOf(linesOf(vars)), vars);
});

test("any value survives the file, and is one line there", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (value) => {
      assert.equal(unquoted(quoted(value)), value);
      assert.ok(!quoted(value).includes("\n"));
    }),
  );
});

test("config --shell: as the official client, but where a shell would read another value", () => {
  const same = {
    plain: "plain",
    "two words": "'two words'",
    "https://x": "'https://x'",
    "it's $5": `"it's \\$5"`,
    ünder: "ünder",
  };
  for (const [value, word] of Object.entries(same)) assert.equal(shellValue(value), word);
  const own = { "a\nb": "'a\nb'", "it's!": `'it'\\''s!'`, "~/x": "'~/x'" };
  for (const [value, word] of Object.entries(own)) assert.equal(shellValue(value), word);
});

test("what is no line of the file is refused", () => {
  for (const line of ["no equals", "=x", `A="open`, "A='"])
    assert.throws(() => varsOf(line), { name: "UsageError" }, line);
  assert.deepEqual(varsOf("\n  \nA=$(touch x)\n"), { A: "$(touch x)" });
});
