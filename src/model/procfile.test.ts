import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PROCESS_TYPE } from "./app.ts";
import { parseProcfile, resolveCommand } from "./procfile.ts";

test("spec 5.1: type, colon, blank, command; in the order of the file", () => {
  assert.deepEqual(Object.entries(parseProcfile("web: node web.js\nworker-2_b: ./run --fast | tee log\n")), [
    ["web", "node web.js"],
    ["worker-2_b", "./run --fast | tee log"],
  ]);
});

test("spec 5.1: the colon is optional, a blank after it is not", () => {
  assert.deepEqual(parseProcfile("web node x\nworker:node y\nclock:\tz"), { web: "node x", clock: "z" });
});

test("spec 5.1: what does not fit is ignored: comments, empty lines, no command, odd types", () => {
  assert.deepEqual(parseProcfile("# web: no\n\n  \nweb:\nweb: \nwörker: x\na.b: c\n__proto__: x\nok: 1"), { ok: "1" });
  assert.deepEqual(parseProcfile(""), {});
});

test("spec 5.1: LF and CRLF, blanks around, a byte order mark", () => {
  assert.deepEqual(parseProcfile("\uFEFF  web:   a b  \r\nworker: c\r\n"), { web: "a b", worker: "c" });
});

test("spec 5.1: of duplicates the last wins; a backslash continues nothing", () => {
  assert.deepEqual(parseProcfile("web: a \\\nweb: b"), { web: "b" });
});

test("lines of any length and shape are read at once: no blanks are tried twice", () => {
  const blanks = " ".repeat(1_000_000);
  assert.deepEqual(parseProcfile(`a${blanks}x\u2028x`), { a: "x\u2028x" });
  assert.deepEqual(parseProcfile(`${blanks}a:${blanks}\u2029${blanks}x${blanks}\0`), { a: `x${blanks}\0` });
  assert.deepEqual(parseProcfile(`${blanks}!\n${"a".repeat(1_000_000)}!\nweb:${blanks}a${blanks}b${blanks}`), {
    web: `a${blanks}b`,
  });
});

test("whatever a Procfile holds, types are types and commands are one line", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 300 }), (text) => {
      for (const [type, command] of Object.entries(parseProcfile(text))) {
        assert.match(type, PROCESS_TYPE);
        assert.ok(command !== "" && !/[\r\n]/.test(command));
      }
    }),
  );
});

test("spec 3.9: the first word of a one-off's command may be a process type, arguments are appended", () => {
  const types = parseProcfile("myworker: bin/work --queue a");
  assert.equal(resolveCommand("myworker", types), "bin/work --queue a");
  assert.equal(resolveCommand("myworker 42 'x y'", types), "bin/work --queue a 42 'x y'");
  assert.equal(resolveCommand("bash -c myworker", types), "bash -c myworker");
  assert.equal(resolveCommand("constructor", types), "constructor");
  assert.equal(resolveCommand("", types), "");
});
