import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { RawFile, type RawRead } from "./raw-file.ts";
import { RawParser } from "./raw-record.ts";
import { RawWriter, temporaryFolder, trimRaw } from "./testing.ts";

const lives = () => false;
const hasEnded = () => true;

/** A look at the raw log: the texts it gave, or what else it said. */
async function look(file: RawFile, isEnded: () => boolean = lives): Promise<readonly string[] | RawRead["kind"]> {
  const read = await file.read(Buffer.alloc(4096), isEnded);
  if (read.kind !== "bytes") return read.kind;
  const texts: string[] = [];
  const taken = new RawParser().parse(read.bytes, read.isLast, ({ contentStart, contentEnd }) => {
    texts.push(read.bytes.toString("utf8", contentStart, contentEnd));
  });
  file.advance(taken);
  return texts;
}

async function withRaw(body: (folder: string, raw: RawWriter, file: RawFile) => Promise<void>): Promise<void> {
  await using home = await temporaryFolder();
  using raw = new RawWriter(home.path, "dyno");
  await using file = new RawFile(home.path, "dyno", { segment: 1, offset: 0 });
  await body(home.path, raw, file);
}

test("a renamed file is complete once the next one has bytes, and not before", () =>
  withRaw(async (_folder, raw, file) => {
    assert.equal(await look(file), "idle");
    raw.write("a");
    assert.deepEqual(await look(file), ["a"]);
    raw.rename();
    assert.equal(await look(file), "idle");
    raw.write("b");
    assert.deepEqual(await look(file), ["b"]);
    assert.equal(await look(file), "idle");
    raw.reopen();
    assert.equal(await look(file), "idle");
    assert.equal(file.segment, 1);
    raw.write("c");
    assert.deepEqual(await look(file), ["c"]);
    assert.equal(file.segment, 2);
  }));

test("what is written while it looks whether the file is complete is not lost", () =>
  withRaw(async (_folder, raw, file) => {
    raw.write("a");
    assert.deepEqual(await look(file), ["a"]);
    let looks = 0;
    const endsNow = () => {
      if (looks++ === 0) raw.write("last words");
      return true;
    };
    assert.deepEqual(await look(file, endsNow), ["last words"]);
    assert.equal(await look(file, endsNow), "end");
  }));

test("several renamed files without bytes between them", () =>
  withRaw(async (_folder, raw, file) => {
    for (let n = 0; n < 3; n++) {
      raw.rename();
      raw.reopen();
    }
    assert.equal(await look(file), "idle");
    raw.write("a");
    assert.deepEqual(await look(file), ["a"]);
    assert.equal(file.segment, 4);
    assert.equal(await look(file, hasEnded), "end");
  }));

test("a record without its end waits for it; at the dyno's end it is the last", () =>
  withRaw(async (_folder, raw, file) => {
    const record = raw.record("whole");
    raw.bytes(record.slice(0, -3));
    assert.equal(await look(file), "idle");
    raw.bytes(record.slice(-3));
    assert.deepEqual(await look(file), ["whole"]);
    raw.bytes(record.slice(0, -3));
    assert.deepEqual(await look(file, hasEnded), ["who"]);
    assert.equal(await look(file, hasEnded), "end");
  }));

test("files that are gone without a word are passed over, and a removed dyno's log ends", () =>
  withRaw(async (folder, raw, file) => {
    raw.write("a");
    assert.deepEqual(await look(file), ["a"]);
    raw.rename();
    raw.reopen();
    raw.rename();
    raw.reopen();
    raw.write("b");
    trimRaw(folder, "dyno", 3);
    assert.deepEqual(await look(file), ["b"]);
    rmSync(join(folder, "dyno.log"));
    assert.equal(await look(file), "end");
  }));

test("the number of a file is the one it gets, whatever was thought before", () =>
  withRaw(async (folder, raw) => {
    raw.rename();
    raw.reopen();
    raw.rename();
    raw.reopen();
    trimRaw(folder, "dyno", 3);
    raw.write("a");
    await using file = new RawFile(folder, "dyno", { segment: 1, offset: 0 }); // its place was lost
    assert.deepEqual(await look(file), ["a"]);
    raw.rename();
    raw.reopen();
    raw.write("b");
    assert.deepEqual(await look(file), ["b"]);
    assert.equal(file.segment, 4);
  }));

test("a log that is not there yet, or never", () =>
  withRaw(async (folder) => {
    await using file = new RawFile(folder, "nobody", { segment: 1, offset: 0 });
    assert.equal(await look(file), "idle");
    assert.equal(await look(file, hasEnded), "end");
  }));
