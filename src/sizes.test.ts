import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { jsonLogger } from "./lib/logger.ts";
import { HEROKU_SIZES, MEMORY_OVERCOMMIT, sizeNamed, useCatalogue } from "./model/size.ts";
import { keepSizes, readSizes } from "./sizes.ts";

let home = "";
const path = () => join(home, "sizes.json");
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "stator-sizes-"));
});
afterEach(() => {
  rmSync(home, { recursive: true });
  useCatalogue({ sizes: HEROKU_SIZES, memoryOvercommit: MEMORY_OVERCOMMIT });
});

test("no file: Heroku's sizes", () => {
  assert.equal(readSizes({ home }).sizes, HEROKU_SIZES);
});

test("a bad file is refused with its path and the field, and so is one that others may write, or a link", () => {
  writeFileSync(path(), '{ "sizes": { "Small": { "memory_mb": 1 } } }', { mode: 0o644 });
  assert.throws(() => readSizes({ home }), /sizes\.json: sizes\/Small\/memory_mb/);
  writeFileSync(path(), "{}");
  chmodSync(path(), 0o666);
  assert.throws(() => readSizes({ home }), /nobody else may write it/);
  rmSync(path());
  symlinkSync("/etc/hostname", path());
  assert.throws(() => readSizes({ home }), /ELOOP/);
});

test("what a process keeps: the file's sizes; a bad file is told and changes nothing", () => {
  const lines: string[] = [];
  const logger = jsonLogger("test", (line) => lines.push(line));
  writeFileSync(path(), '{ "sizes": { "Small": { "memory_mb": 64 } } }', { mode: 0o644 });
  keepSizes({ home }, logger)[Symbol.dispose]();
  assert.equal(sizeNamed("Small")?.memoryCeilingMb, 128);
  writeFileSync(path(), "[]");
  keepSizes({ home }, logger)[Symbol.dispose]();
  assert.equal(sizeNamed("Small")?.memoryCeilingMb, 128);
  assert.match(lines.at(-1) ?? "", /sizes\.refused.*must be object/);
});
