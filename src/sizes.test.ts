import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { jsonLogger } from "./lib/logger.ts";
import { instanceOf } from "./model/instance.ts";
import { HEROKU_SIZES, MEMORY_OVERCOMMIT, sizeNamed, useCatalogue } from "./model/size.ts";
import { keepSizes, lastSizesFileOf, readSizes } from "./sizes.ts";

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
  keepSizes(instanceOf(home), logger, "daemon")[Symbol.dispose]();
  assert.equal(sizeNamed("Small")?.memoryCeilingMb, 128);
  writeFileSync(path(), "[]");
  keepSizes(instanceOf(home), logger, "daemon")[Symbol.dispose]();
  assert.equal(sizeNamed("Small")?.memoryCeilingMb, 128);
  assert.match(lines.at(-1) ?? "", /sizes\.refused.*must be object/);
});

test("a process that begins with a bad file has the sizes that held before; the host process alone notes them", () => {
  const instance = instanceOf(home);
  mkdirSync(instance.paths.host);
  const lines: string[] = [];
  const begin = (role: "host" | "daemon") => {
    useCatalogue({ sizes: HEROKU_SIZES, memoryOvercommit: MEMORY_OVERCOMMIT });
    keepSizes(
      instance,
      jsonLogger("test", (line) => lines.push(line)),
      role,
    )[Symbol.dispose]();
    return sizeNamed("Small")?.memoryMb;
  };
  writeFileSync(path(), '{ "sizes": { "Small": { "memory_mb": 64 } } }', { mode: 0o644 });
  assert.equal(begin("daemon"), 64);
  assert.ok(!existsSync(lastSizesFileOf(instance)));
  assert.equal(begin("host"), 64);
  writeFileSync(path(), "[]");
  for (const role of ["host", "daemon"] as const) {
    lines.length = 0;
    assert.equal(begin(role), 64);
    assert.match(lines.join(""), /sizes\.refused.*must be object[^]*sizes\.last_used/);
  }
  rmSync(path());
  assert.equal(begin("host"), undefined, "it was taken away, which is no error");
  writeFileSync(path(), "[]");
  assert.equal(begin("host"), undefined);
  chmodSync(lastSizesFileOf(instance), 0o666);
  assert.equal(begin("daemon"), undefined);
  assert.match(lines.at(-1) ?? "", /sizes\.last_refused.*nobody else may write it/);
});
