import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEnv } from "node:util";
import fc from "fast-check";
import { run } from "../lib/command.ts";
import { fileSize, isInCi, keyed, shellQuote, table, timeAgo } from "./output.ts";

const now = new Date(2023, 2, 2, 15, 56, 13);
const ago = (seconds: number) => timeAgo(new Date(now.getTime() - seconds * 1000), now);

test("spec 16: ages are seconds below 60, minutes below 60, hours below 25, then the date alone", () => {
  assert.match(ago(0), /^2023\/03\/02 15:56:13 [+-]\d{4} \(~ 0s ago\)$/);
  assert.match(ago(59), /\(~ 59s ago\)$/);
  assert.match(ago(60), /\(~ 1m ago\)$/);
  assert.match(ago(3599), /\(~ 59m ago\)$/);
  assert.match(ago(3600), /\(~ 1h ago\)$/);
  assert.match(ago(25 * 3600 - 1), /\(~ 24h ago\)$/);
  assert.match(ago(25 * 3600), /^2023\/03\/01 14:56:13 [+-]\d{4}$/);
  assert.match(ago(-30), /\(~ 0s ago\)$/, "a clock that is a little behind");
});

test("shellQuote gives one word that a shell and a .env reader understand as it was", async () => {
  assert.equal(shellQuote("http://127.0.0.1:5480"), "http://127.0.0.1:5480");
  assert.equal(shellQuote(""), "''");
  assert.equal(shellQuote("it's"), "'it'\\''s'");
  assert.equal(parseEnv(`A=${shellQuote("a b$c`d")}`)["A"], "a b$c`d");
  const texts = fc.sample(
    fc.string({ unit: "binary" }).map((text) => text.replaceAll("\0", "").toWellFormed()),
    50,
  );
  // Perl splits words as a POSIX shell does, and is on every Debian.
  const split = 'local $/; print join("\\0", shellwords(<STDIN>)), "\\0"';
  const words = texts.map((text) => shellQuote(text)).join(" ");
  const { stdout } = await run("perl", ["-MText::ParseWords", "-e", split], { input: words });
  assert.deepEqual(stdout.split("\0").slice(0, -1), texts);
});

test("tables and keys are aligned, and end without blanks", () => {
  assert.deepEqual(
    table([
      ["v10", "Set A", "x"],
      ["v9", "", "y"],
    ]),
    ["v10  Set A  x", "v9          y"],
  );
  assert.deepEqual(
    keyed([
      ["A", "1"],
      ["LONG", "2"],
    ]),
    ["A:    1", "LONG: 2"],
  );
  assert.deepEqual(keyed([["GREETING", "from heroku"]]), ["GREETING: from heroku"]);
  assert.deepEqual(
    [fileSize(null), fileSize(1023), fileSize(2048), fileSize(5 * 1024 ** 2)],
    ["0 B", "1023 B", "2 KB", "5 MB"],
  );
});

test("tables are plain where the official client's are: CI is set and not 0 or false, or its relatives are", () => {
  for (const env of [{ CI: "true" }, { CI: "1" }, { CI: "" }, { CI_JOB_ID: "7" }, { CONTINUOUS_INTEGRATION: "1" }])
    assert.equal(isInCi(env), true, JSON.stringify(env));
  for (const env of [{}, { CI: "false" }, { CI: "0", CI_JOB_ID: "7" }, { CI: "true", OCLIF_TABLE_SKIP_CI_CHECK: "1" }])
    assert.equal(isInCi(env), false, JSON.stringify(env));
});
