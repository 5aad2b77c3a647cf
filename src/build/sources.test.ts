import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { systemRandom } from "../lib/random.ts";
import { SimClock } from "../lib/sim-clock.ts";
import { SOURCE_MS, SourceFiles } from "./sources.ts";
import { Turns } from "./turns.ts";

async function world() {
  const folder = mkdtempSync(join(tmpdir(), "stator-sources-"));
  const clock = new SimClock();
  const limits = { one: 100, all: 250 };
  const open = () => SourceFiles.open(folder, clock, systemRandom, limits);
  return {
    folder,
    clock,
    open,
    files: await open(),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

test("uploads are whole or not there, bounded each and all together, and leave nothing half written", async () => {
  using at = await world();
  const upload = async (bytes: number) => {
    const name = at.files.mint();
    await at.files.receive(name, Readable.from([Buffer.alloc(bytes, "x")]));
    return name;
  };
  const name = await upload(100);
  assert.equal(await text(at.files.read(name)), "x".repeat(100));
  await assert.rejects(upload(101), { id: "payload_too_large" });
  await upload(100);
  await assert.rejects(upload(60), { id: "service_unavailable" });
  const broken = Readable.from(
    (async function* () {
      yield Buffer.from("half");
      throw new Error("the client is gone");
    })(),
  );
  await assert.rejects(at.files.receive(at.files.mint(), broken), /the client is gone/);
  assert.equal(readdirSync(at.folder).length, 2);
  for (const wrong of ["../../etc/passwd", "1-x", ""]) {
    assert.equal(await at.files.has(wrong), false);
    assert.throws(() => at.files.read(wrong), /no name of a source/);
  }
});

test("an upload may be read for an hour, lies there for two, and a killed daemon's half goes at the start", async () => {
  using at = await world();
  const name = at.files.mint();
  await at.files.receive(name, Readable.from(["x"]));
  await at.clock.advance(SOURCE_MS - 1);
  assert.equal(at.files.isFresh(name), true);
  await at.clock.advance(1);
  assert.equal(at.files.isFresh(name), false);
  assert.equal(await at.files.has(name), true, "a build that waits for its turn finds it");
  writeFileSync(join(at.folder, "1-0.partial"), "half");
  await at.clock.advance(SOURCE_MS + 1);
  await at.open();
  assert.deepEqual(readdirSync(at.folder), []);
});

test("turns come in order, once each, and who leaves the queue is passed over", async () => {
  const turns = new Turns();
  const order: string[] = [];
  const first = turns.tryTake("app") ?? assert.fail();
  assert.equal(turns.tryTake("app"), undefined);
  assert.ok(turns.tryTake("other"));
  const leaving = new AbortController();
  const never = new AbortController().signal;
  const left = assert.rejects(turns.take("app", leaving.signal), /left/);
  const later = ["second", "third"].map(async (name) => {
    using _turn = await turns.take("app", never);
    order.push(name);
  });
  assert.equal(turns.waiting("app"), 3);
  leaving.abort(new Error("left"));
  await left;
  first[Symbol.dispose]();
  first[Symbol.dispose](); // nobody's turn ends by it
  await Promise.all(later);
  assert.deepEqual(order, ["second", "third"]);
  assert.equal(turns.isTaken("app"), false);
});
