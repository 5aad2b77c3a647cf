import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Gate, Serial } from "./serial.ts";
import { Tombstones } from "./tombstones.ts";

test("removed ids are remembered over restarts, also after a cut line, and the oldest are forgotten", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tombstones-"));
  try {
    const path = join(folder, "removed");
    const first = await Tombstones.open(path);
    const [id, another] = [randomUUID(), randomUUID()];
    await first.add(id);
    await first.add(id);
    assert.equal(readFileSync(path, "utf8"), `${id}\n`);
    appendFileSync(path, "0f2f6f60-00");
    const second = await Tombstones.open(path);
    assert.deepEqual([second.has(id), second.has(another)], [true, false]);
    writeFileSync(path, `${id}\n${Array.from({ length: 39_998 }, () => randomUUID()).join("\n")}\n`);
    const third = await Tombstones.open(path);
    assert.equal(third.has(id), false);
    await third.add(another);
    const lines = readFileSync(path, "utf8").trim().split("\n");
    assert.equal(lines.length, 20_000, "the file is written anew when it has grown to twice that");
    assert.equal(lines.at(-1), another);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("calls with one key run in order, whether they fail or not; others at the same time", async () => {
  const serial = new Serial();
  const order: string[] = [];
  const gate = Promise.withResolvers<void>();
  const slow = serial.run("a", async () => {
    await gate.promise;
    order.push("slow");
    throw new Error("no");
  });
  const after = serial.run("a", async () => void order.push("after"));
  await serial.run("b", async () => void order.push("other"));
  gate.resolve();
  await assert.rejects(slow);
  await after;
  assert.deepEqual(order, ["other", "slow", "after"]);
});

test("a gate lets so many in, and the next when one leaves", async () => {
  const gate = new Gate(2);
  let [inside, most] = [0, 0];
  const visit = () =>
    gate.run(async () => {
      most = Math.max(most, ++inside);
      await new Promise((resolve) => setImmediate(resolve));
      inside--;
    });
  await Promise.all(Array.from({ length: 7 }, visit));
  assert.deepEqual([inside, most], [0, 2]);
});
