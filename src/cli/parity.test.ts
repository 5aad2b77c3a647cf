import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { OfficialCommands } from "../../test/support/official-manifest.ts";
import { type Flag, flagsOf } from "./command.ts";
import { COMMANDS, commandNamed } from "./commands.ts";

/** Commands and flags against the official CLI's own list; `test/e2e/official-cli.test.ts` sees to it that this list is that one's. */
const checkout = join(import.meta.dirname, "..", "..");
const official = JSON.parse(
  readFileSync(join(checkout, "test", "support", "official-commands.json"), "utf8"),
) as OfficialCommands;

/** What ours has not, and why: docs/compatibility.md has the same table. */
const NOT_NATIVE: Readonly<Record<string, string>> = {
  "certs:generate": "openssl makes a key and a request",
};

/** Commands that only say in a sentence why they cannot work: they take every flag. */
const REFUSALS = ["pipelines:connect", "pipelines:setup"];

test("every promised command of the official CLI is native, by every word that calls it", () => {
  for (const [name, { aliases }] of Object.entries(official)) {
    if (NOT_NATIVE[name] !== undefined) {
      assert.equal(commandNamed(name), undefined, `${name} is native now: take it out of the table`);
      continue;
    }
    for (const word of [name, ...aliases]) assert.equal(commandNamed(word)?.name, commandNamed(name)?.name, word);
    assert.ok(commandNamed(name), name);
  }
});

test("every flag of theirs is known, by the same letter, with a value where theirs has one", () => {
  for (const [name, { flags }] of Object.entries(official)) {
    const spec = commandNamed(name);
    if (spec === undefined || REFUSALS.includes(name)) continue;
    const ours = flagsOf(spec).flatMap((flag) => spellings(flag));
    for (const flag of flags) {
      const [, letter, word = "", value] = /^(?:-(\w), )?--([\w-]+)(=?)$/.exec(flag) ?? assert.fail(flag);
      assert.ok(ours.includes(`--${word}${value}`), `${name} ${flag}`);
      if (letter !== undefined) assert.ok(ours.includes(`-${letter}${value}`), `${name} -${letter}`);
    }
  }
});

function spellings({ name, short, aliases = [], value }: Flag): readonly string[] {
  const end = value === undefined ? "" : "=";
  return [...[name, ...aliases].map((word) => `--${word}${end}`), ...(short === undefined ? [] : [`-${short}${end}`])];
}

test("no command has two flags of one letter or name, and no word calls two commands", () => {
  for (const spec of COMMANDS) {
    const all = flagsOf(spec).flatMap((flag) => spellings(flag));
    assert.deepEqual(
      all.filter((each, index) => all.indexOf(each) !== index),
      [],
      spec.name,
    );
  }
  const words = COMMANDS.flatMap(({ name, aliases = [] }) => [name, ...aliases]);
  assert.deepEqual(
    words.filter((each, index) => words.indexOf(each) !== index),
    [],
  );
});

test("what is not native is named in docs/compatibility.md", () => {
  const text = readFileSync(join(checkout, "docs", "compatibility.md"), "utf8");
  for (const name of [...Object.keys(NOT_NATIVE), ...REFUSALS]) assert.ok(text.includes(`\`${name}\``), name);
});
