import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { run } from "../../lib/command.ts";
import { LogFiles, SEGMENT_BYTES, UNREAD_BYTES_MAX } from "./log-files.ts";

const HEAD = "2026-11-23T19:14:45.381313654+00:00 stdout";

/** A folder with one dyno's log and a FIFO that somebody reads, as conmon would. */
async function make(): Promise<{ folder: string; logs: LogFiles; fifo: string } & AsyncDisposable> {
  const folder = mkdtempSync(join(tmpdir(), "log-files-"));
  const fifo = join(folder, "ctl");
  await run("mkfifo", [fifo]);
  const reader = new AbortController();
  const reading = run("tail", ["-f", fifo], { signal: reader.signal, timeoutMs: 60_000 }).catch(() => {}); // ended by the signal
  const logs = new LogFiles(folder, () => join(folder, "number"));
  logs.create("d");
  const dispose = async () => {
    reader.abort();
    await reading;
    rmSync(folder, { recursive: true });
  };
  return { folder, logs, fifo, [Symbol.asyncDispose]: dispose };
}

/** One segment's worth of lines: `P` pieces do not count as lines. */
const LINE = `${HEAD} P ${"x".repeat(500)}\n${HEAD} F ${"y".repeat(500)} F \n`;
const LINES = Math.ceil(SEGMENT_BYTES / LINE.length);
const fill = (folder: string) => appendFileSync(join(folder, "d.log"), LINE.repeat(LINES));

test("a log is cut when it is large, and numbers never come again", async () => {
  await using made = await make();
  const { folder, logs, fifo } = made;
  assert.equal(await retry(() => logs.rotate("d", fifo)), 0);
  fill(folder);
  assert.equal(await retry(() => logs.rotate("d", fifo)), LINES * LINE.length);
  fill(folder);
  await logs.rotate("d", fifo);
  assert.deepEqual(readdirSync(folder).sort(), ["ctl", "d.log", "d.log.1", "d.log.2", "number"]);
  await logs.trim("d", 3);
  fill(folder);
  await logs.rotate("d", fifo);
  assert.ok(readdirSync(folder).includes("d.log.3"));
  await logs.remove("d");
  assert.deepEqual(readdirSync(folder).sort(), ["ctl", "number"]);
});

test("unread segments beyond the allowance go, oldest first, and what goes is counted", async () => {
  await using made = await make();
  const { folder, logs, fifo } = made;
  const segments = UNREAD_BYTES_MAX / SEGMENT_BYTES + 2;
  for (let at = 0; at < segments; at++) {
    fill(folder);
    await retry(() => logs.rotate("d", fifo));
    await logs.dropBeyondAllowance("d");
  }
  const numbers = readdirSync(folder)
    .map((name) => /^d\.log\.(\d+)$/.exec(name)?.[1])
    .filter((text) => text !== undefined)
    .map(Number);
  const dropped = JSON.parse(readFileSync(join(folder, "d.log.dropped"), "utf8")) as Record<string, number>;
  assert.equal(Math.min(...numbers), (dropped["segment"] ?? 0) + 1);
  assert.equal(dropped["lines"], (dropped["segment"] ?? 0) * LINES);
  assert.equal(dropped["bytes"], (dropped["segment"] ?? 0) * LINES * LINE.length);
  assert.ok(numbers.length * LINES * LINE.length <= UNREAD_BYTES_MAX);
});

test("a disk that has taken in what fills a segment says so, until all logs are looked at", () => {
  let free = 1e12;
  const logs = new LogFiles("/nowhere", String, { free: () => free });
  assert.equal(logs.mayHaveFilled(), true, "nothing was looked at yet");
  logs.allSeen();
  free -= SEGMENT_BYTES;
  assert.equal(logs.mayHaveFilled(), false);
  free -= 1;
  assert.equal(logs.mayHaveFilled(), true);
  logs.allSeen();
  free += 10 * SEGMENT_BYTES;
  assert.equal(logs.mayHaveFilled(), false, "something was deleted");
  free -= SEGMENT_BYTES + 1;
  assert.equal(logs.mayHaveFilled(), true, "and something written after that");
});

test("logs are worth a look once their writers have worked, and wherever nobody counts that", () => {
  let ms: number | undefined = 1000;
  const logs = new LogFiles("/nowhere", String, { free: () => 1e12, writersMs: () => ms });
  assert.equal(logs.mayHaveGrown(), true, "nothing was looked at yet");
  logs.allSeen();
  ms += 1.9;
  assert.equal(logs.mayHaveGrown(), false);
  ms += 0.1;
  assert.equal(logs.mayHaveGrown(), true, "little by little it became enough");
  logs.allSeen();
  assert.equal(logs.mayHaveGrown(), false);
  ms = undefined;
  assert.equal(logs.mayHaveGrown(), true);
});

/** Until the reader of the FIFO is there. */
async function retry<T>(body: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await body();
    } catch (error) {
      if (attempt === 200 || !(error instanceof Error && "code" in error && error.code === "ENXIO")) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}
