import assert from "node:assert/strict";
import { test } from "node:test";
import { BadProcfile, defaultTypes, findTypes } from "./process-types.ts";

test("spec 5.1: the Procfile's types override the buildpack's of the same name; the rest of those remain", () => {
  const release = "default_process_types:\n  web: npm start\n  console: 'node --eval \"1\"'\n";
  assert.deepEqual(findTypes("web: node x.js\n", release), {
    types: { console: 'node --eval "1"', web: "node x.js" },
    lines: ["Procfile declares types     -> web", "Default types for buildpack -> console"],
  });
  assert.deepEqual(findTypes(null, release).lines, [
    "Procfile declares types     -> (none)",
    "Default types for buildpack -> web, console",
  ]);
});

test("an app without any type may be deployed; a Procfile that says nothing may not", () => {
  assert.deepEqual(findTypes(null, "").types, {});
  for (const text of ["", "\n\n", "# a comment\n", "web:node x\n", "web: \n"]) {
    assert.throws(() => findTypes(text, "default_process_types:\n  web: x\n"), BadProcfile, JSON.stringify(text));
  }
});

test("what a build says of its types is bounded", () => {
  const many = Array.from({ length: 101 }, (_, index) => `t${index}: x`).join("\n");
  assert.throws(() => findTypes(many, ""), /101 process types/);
  assert.throws(() => findTypes(`web: ${"x".repeat(20_000)}`, ""), /longer than 16 kB/);
});

test("a line of endless blanks is refused in a Procfile, and left out of bin/release", () => {
  const blanks = " ".repeat(60_000);
  assert.throws(() => findTypes(`web: x\na${blanks}x\u2028x`, ""), /Line 2 .* longer than 32 kB/);
  const some = " ".repeat(30_000);
  assert.deepEqual(defaultTypes(`default_process_types:\n  a:${some}x\u2028x`), { a: "x\u2028x" });
  for (const line of [`  a:${blanks}x\u2028x`, `${blanks}a: x`, `${some}a${some.slice(9)}x`]) {
    assert.deepEqual(defaultTypes(`default_process_types:\n${line}\n  web: x \n`), { web: "x" });
  }
});

test("a command with a control character is refused by its number, whoever wrote it; a tab is none", () => {
  for (const [character, code] of [
    ["\0", "0000"],
    ["\x1b", "001B"],
    ["\x0b", "000B"],
    ["\x7f", "007F"],
    ["\x9b", "009B"],
    ["\u2028", "2028"],
  ] as const) {
    const expected = { name: "Error", message: new RegExp(`command of web .*\\(U\\+${code}\\)`) };
    assert.throws(() => findTypes(`web: a${character}[2Jb`, ""), expected);
    assert.throws(() => findTypes(null, `default_process_types:\n  web: a${character}[2Jb\n`), expected);
  }
  assert.deepEqual(findTypes("web: a\tb é ⬢", "").types, { web: "a\tb é ⬢" });
});

test("bin/release is read as the plain map that buildpacks print", () => {
  assert.deepEqual(
    defaultTypes('---\naddons: []\ndefault_process_types:\n  "web": "a \\"b\\""\n  __proto__: x\n- y\nother: z\n'),
    {
      web: 'a "b"',
    },
  );
  assert.deepEqual(defaultTypes("default_process_types: {}\n"), {});
  assert.deepEqual(defaultTypes(""), {});
});
