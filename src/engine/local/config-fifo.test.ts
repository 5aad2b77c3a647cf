import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text as textOf } from "node:stream/consumers";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { systemClock } from "../../lib/clock.ts";
import { ended, start } from "../../lib/command.ts";
import { ConfigFifos, endWaiting } from "./config-fifo.ts";

/** A bundle, and readers of its configuration that wait as the runtime does. */
async function bundle() {
  const folder = mkdtempSync(join(tmpdir(), "stator-fifo-"));
  const path = join(folder, "bundle");
  mkdirSync(path);
  const fifos = new ConfigFifos(join(folder, "fifos"));
  assert.equal(fifos.take(path), undefined);
  await fifos.open(1);
  return {
    path,
    config: join(path, "config.json"),
    fifos,
    take: () => fifos.take(path) ?? assert.fail("none is ready"),
    /** What it read, once it has ended. */
    read(): { readonly text: Promise<string>; readonly end: Promise<unknown> } {
      const child = start("cat", ["--", join(path, "config.json")], { stdio: ["ignore", "pipe", "inherit"] });
      return { text: textOf(child.stdout ?? assert.fail()), end: ended(child, "cat") };
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true }),
  };
}
const UNTIL_IT_WAITS_MS = 150;

test("who waits gets the text, whole, and who reads again finds the file in its place, closed to others", async () => {
  using made = await bundle();
  const fifo = made.take();
  assert.equal(made.fifos.hasFree, false);
  assert.equal(made.fifos.take(made.path), undefined);
  const text = `{"large":"${"ä".repeat(200_000)}"}`; // more than a pipe holds
  const reader = made.read();
  await pause(UNTIL_IT_WAITS_MS);
  await fifo.hand(text, reader.end, systemClock);
  assert.equal(await reader.text, text);
  assert.equal(readFileSync(made.config, "utf8"), text);
  assert.equal(statSync(made.config).mode & 0o7777, 0o600);
  assert.equal(made.fifos.hasFree, true);
  assert.equal(await made.read().text, text);
});

test("who comes late finds the file, and nobody waits for him longer than he takes", async () => {
  using made = await bundle();
  const fifo = made.take();
  const { promise: done, resolve } = Promise.withResolvers<void>();
  const handed = fifo.hand("late", done, systemClock);
  assert.equal(await made.read().text, "late");
  resolve();
  await handed;
  assert.equal(made.fifos.hasFree, true);
});

test("a reader that dies over the text is no failure of the writer's: it says so itself", async () => {
  using made = await bundle();
  const fifo = made.take();
  const child = start("head", ["-c", "10", "--", made.config], { stdio: ["ignore", "ignore", "inherit"] });
  await pause(UNTIL_IT_WAITS_MS);
  await fifo.hand("x".repeat(1_000_000), ended(child, "head"), systemClock);
  assert.equal(made.fifos.hasFree, true);
});

test("who waits for nothing reads nothing, and so does who comes afterwards, whoever put the FIFO there", async () => {
  using made = await bundle();
  const own = made.take();
  const reader = made.read();
  await pause(UNTIL_IT_WAITS_MS);
  await own.end();
  await own.end();
  assert.equal(await reader.text, "");
  assert.equal(made.fifos.hasFree, true);
  assert.equal(await made.read().text, "");
});

test("after three runtimes in a row that failed none waits any more", async () => {
  using made = await bundle();
  const told = [made.fifos.failed(), made.fifos.failed()];
  made.fifos.worked();
  told.push(made.fifos.failed(), made.fifos.failed());
  const fifo = made.take();
  told.push(made.fifos.failed(), made.fifos.failed());
  assert.deepEqual(told, [false, false, false, false, true, false]);
  await fifo.end();
  assert.equal(made.fifos.hasFree, false);
});

test("who never reads is waited for until it is said to be late", async () => {
  using made = await bundle();
  const { promise: never } = Promise.withResolvers<void>();
  await assert.rejects(made.take().hand("text", never, systemClock, AbortSignal.timeout(50)));
});

test("what a dead process left is ended by its folder alone", async () => {
  using made = await bundle();
  made.take();
  const reader = made.read();
  await pause(UNTIL_IT_WAITS_MS);
  await endWaiting(made.path);
  assert.equal(await reader.text, "");
  assert.equal(await made.read().text, "");
  await endWaiting(join(made.path, "none"));
});
