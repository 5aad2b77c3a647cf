import assert from "node:assert/strict";
import { appendFile, mkdir, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { type Clock, systemClock } from "../lib/clock.ts";
import { silentLogger } from "../lib/logger.ts";
import type { StoredLine } from "./filter.ts";
import { type LogHub, openLogs } from "./hub.ts";
import { formatLine, type LogLine } from "./line.ts";
import { KEPT_MS } from "./segment-files.ts";
import { RawWriter, temporaryFolder, trimRaw } from "./testing.ts";

const APP = "app-1";
const DYNO = "dyno-1";
const never = new AbortController().signal;
/** Now, as far as logs are concerned: when `RawWriter` writes. */
const NOW = Date.UTC(2026, 0, 2, 3, 4, 6);

class LogClock implements Clock {
  time = NOW;
  now(): number {
    return this.time;
  }
  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return systemClock.sleep(Math.min(ms, 50), signal); // retries soon, sweeps often
  }
}

interface World {
  readonly folder: string;
  readonly rawFolder: string;
  readonly clock: LogClock;
  readonly trims: (readonly [string, number])[];
  readonly open: () => Promise<LogHub>;
}

async function world(body: (world: World) => Promise<void>): Promise<void> {
  await using home = await temporaryFolder();
  const folder = join(home.path, "logs");
  const rawFolder = join(home.path, "raw");
  await mkdir(rawFolder);
  const clock = new LogClock();
  const trims: (readonly [string, number])[] = [];
  const engine = {
    trimLog: async (id: string, segment: number) => {
      trims.push([id, segment]);
      trimRaw(rawFolder, id, segment);
    },
  };
  const open = () => openLogs({ folder, rawFolder, engine, clock, logger: silentLogger });
  await body({ folder, rawFolder, clock, trims, open });
}

function line(text: string, more: Partial<LogLine> = {}): LogLine {
  return { at: NOW, source: "heroku", process: "web.1", text, ...more };
}

async function texts(hub: LogHub, lines = 1_500): Promise<readonly string[]> {
  return (await hub.history(APP, { lines })).map(({ text }) => text);
}

/** Reads until `count` lines came. */
async function collect(lines: AsyncIterable<StoredLine>, count: number): Promise<readonly StoredLine[]> {
  const seen: StoredLine[] = [];
  for await (const each of lines) {
    seen.push(each);
    if (seen.length >= count) break;
  }
  return seen;
}

const numbered = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => `line ${from + index}`);

test("a line of the platform is seen at once, and after a restart, with an id that grows", () =>
  world(async ({ open }) => {
    {
      await using hub = await open();
      hub.append(APP, line("one"));
      assert.deepEqual(await texts(hub), ["one"]);
      hub.append(APP, line("two\nforged"));
    }
    await using hub = await open();
    hub.append(APP, line("three"));
    assert.deepEqual(
      (await hub.history(APP, { lines: 10 })).map(({ id, text }) => [id, text]),
      [
        [1, "one"],
        [2, "twoforged"],
        [3, "three"],
      ],
    );
    assert.deepEqual(await texts(hub, 1), ["three"]);
    assert.deepEqual(await hub.history("another", { lines: 10 }), []);
  }));

test("spec 8.3: filtered by source, by dyno and by type of dyno", () =>
  world(async ({ open }) => {
    await using hub = await open();
    hub.append(APP, line("a", { process: "web.1", source: "app" }));
    hub.append(APP, line("b", { process: "web.12", source: "heroku" }));
    hub.append(APP, line("c", { process: "website.1", source: "app" }));
    const found = async (filter: object) =>
      (await hub.history(APP, { lines: 10, filter })).map(({ text }) => text).join("");
    assert.equal(await found({ source: "app" }), "ac");
    assert.equal(await found({ process: "web" }), "ab");
    assert.equal(await found({ process: "web.1" }), "a");
    assert.equal(await found({ process: "web", source: "heroku" }), "b");
  }));

test("spec 8.1: a dyno's line has the time it was written, to the microsecond", () =>
  world(async ({ open, rawFolder }) => {
    using raw = new RawWriter(rawFolder, DYNO);
    raw.write("hello");
    await using hub = await open();
    hub.follow({ id: DYNO, appId: APP, name: "web.1" });
    await hub.ended(DYNO, never);
    const [stored] = await hub.history(APP, { lines: 1 });
    assert.ok(stored);
    assert.equal(formatLine(stored), "2026-01-02T03:04:05.000001+00:00 app[web.1]: hello");
  }));

test("lines come as they are written, over rotations, also those written to a file already renamed", () =>
  world(async ({ open, rawFolder, trims }) => {
    using raw = new RawWriter(rawFolder, DYNO);
    await using hub = await open();
    hub.follow({ id: DYNO, appId: APP, name: "web.1" });
    const stop = new AbortController();
    const seen = hub.subscribe(APP, {}, 0, stop.signal)[Symbol.asyncIterator]();
    const next = async () => ((await seen.next()).value as StoredLine).text;
    raw.write("line 0");
    assert.equal(await next(), "line 0");
    raw.rename();
    raw.write("line 1"); // conmon has not opened the new file yet
    assert.equal(await next(), "line 1");
    assert.deepEqual(trims, [], "the renamed file is not complete");
    raw.piece("line ");
    raw.reopen();
    raw.write("2", "line 3");
    assert.equal(await next(), "line 2");
    assert.equal(await next(), "line 3");
    raw.rename();
    raw.reopen();
    raw.rename();
    raw.reopen();
    raw.write("line 4");
    assert.equal(await next(), "line 4");
    await hub.ended(DYNO, never);
    stop.abort();
    assert.equal((await seen.next()).done, true);
    assert.deepEqual(trims.at(-1), [DYNO, 4]);
    assert.deepEqual((await readdir(rawFolder)).sort(), [`${DYNO}.log`]);
    assert.deepEqual(await texts(hub), numbered(0, 5));
  }));

test("an unfinished last line is there when the dyno has ended; ended may be asked again", () =>
  world(async ({ open, rawFolder }) => {
    using raw = new RawWriter(rawFolder, DYNO);
    raw.write("whole");
    raw.piece("no line end");
    raw.bytes("2026-01-02T03:04:05.0+00:00 stdout F cut of"); // conmon was killed
    await using hub = await open();
    hub.follow({ id: DYNO, appId: APP, name: "web.1" });
    hub.follow({ id: DYNO, appId: APP, name: "web.1" });
    await hub.ended(DYNO, never);
    await hub.ended(DYNO, never);
    await hub.ended("nobody", never);
    assert.deepEqual(await texts(hub), ["whole", "no line endcut of"]);
    hub.forget(DYNO);
  }));

test("after a restart it goes on where it was, also when the dyno has ended meanwhile", () =>
  world(async ({ open, rawFolder }) => {
    using raw = new RawWriter(rawFolder, DYNO);
    for (let round = 0; round < 4; round++) {
      await using hub = await open();
      raw.write(`line ${2 * round}`, `line ${2 * round + 1}`);
      if (round % 2 === 0) raw.rename();
      raw.reopen();
      hub.follow({ id: DYNO, appId: APP, name: "web.1" });
      if (round === 3) await hub.ended(DYNO, never);
      else if (round > 0) await collect(hub.subscribe(APP, {}, 0, never), 2 * round + 2);
    }
    await using hub = await open();
    hub.follow({ id: DYNO, appId: APP, name: "web.1" });
    await hub.ended(DYNO, never);
    assert.deepEqual(await texts(hub), numbered(0, 8));
  }));

test("a torn record at the end of the file is cut off, and carried over again", () =>
  world(async ({ open, rawFolder, folder }) => {
    using raw = new RawWriter(rawFolder, DYNO);
    raw.write("line 0", "line 1", "line 2");
    {
      await using hub = await open();
      hub.follow({ id: DYNO, appId: APP, name: "web.1" });
      await hub.ended(DYNO, never);
    }
    const [name = ""] = await readdir(join(folder, APP));
    const file = join(folder, APP, name);
    const bytes = await readFile(file);
    await writeFile(file, bytes.subarray(0, -7));
    await writeFile(join(folder, APP, "000000000000099.jsonl"), '{"first":99,"dy'); // killed while it was made
    {
      await using hub = await open();
      assert.deepEqual(await texts(hub), numbered(0, 2));
      hub.follow({ id: DYNO, appId: APP, name: "web.1" });
      await hub.ended(DYNO, never);
      assert.deepEqual(await texts(hub), numbered(0, 3));
    }
    await appendFile(file, "\0\0\0\0");
    await using hub = await open();
    hub.append(APP, line("line 3"));
    assert.deepEqual(await texts(hub), numbered(0, 4));
  }));

test("what the host dropped is told once, with the count", () =>
  world(async ({ open, rawFolder }) => {
    using raw = new RawWriter(rawFolder, DYNO);
    raw.write("kept");
    {
      await using hub = await open();
      hub.follow({ id: DYNO, appId: APP, name: "web.1" });
      await collect(hub.subscribe(APP, {}, 0, never), 1);
    }
    raw.write("lost 1", "lost 2");
    raw.rename();
    raw.reopen();
    raw.write("lost 3");
    raw.rename();
    raw.reopen();
    raw.write("after");
    await writeFile(join(rawFolder, `${DYNO}.log.dropped`), '{"segment":2,"bytes":300,"lines":4}');
    trimRaw(rawFolder, DYNO, 3);
    for (let round = 0; round < 3; round++) {
      await using hub = await open();
      hub.follow({ id: DYNO, appId: APP, name: "web.1" });
      await hub.ended(DYNO, never);
      const seen = await hub.history(APP, { lines: 10 });
      assert.deepEqual(
        seen.map(({ text }) => text),
        ["kept", "Error L12: 3 messages of web.1 dropped: it wrote faster than they could be read.", "after"],
      );
      assert.deepEqual([seen[1]?.source, seen[1]?.process], ["app", "log-shuttle"]);
    }
  }));

test("the file that is being read is dropped: what was in it is there, the rest is counted", () =>
  world(async ({ open, rawFolder }) => {
    using raw = new RawWriter(rawFolder, DYNO);
    raw.write("line 0");
    await using hub = await open();
    hub.follow({ id: DYNO, appId: APP, name: "web.1" });
    await collect(hub.subscribe(APP, {}, 0, never), 1);
    raw.rename();
    raw.write("line 1");
    await writeFile(join(rawFolder, `${DYNO}.log.dropped`), '{"segment":1,"bytes":100,"lines":2}');
    trimRaw(rawFolder, DYNO, 2);
    raw.reopen();
    raw.rename();
    await writeFile(join(rawFolder, `${DYNO}.log.dropped`), '{"segment":2,"bytes":300,"lines":6}');
    trimRaw(rawFolder, DYNO, 3);
    raw.reopen();
    raw.write("after");
    await hub.ended(DYNO, never);
    const [first, second, told, after] = await texts(hub);
    assert.deepEqual([first, second, after], ["line 0", "line 1", "after"]);
    assert.match(told ?? "", /L12.* 4 messages of web.1/);
  }));

test("spec 8.3: 1,500 lines are kept and not much more; ids and places survive rotation", () =>
  world(async ({ open, rawFolder, folder }) => {
    using raw = new RawWriter(rawFolder, DYNO);
    const long = "x".repeat(5_000);
    for (let n = 0; n < 6_000; n += 100) raw.write(...numbered(n, n + 100).map((text) => `${text} ${long}`));
    {
      await using hub = await open();
      hub.follow({ id: DYNO, appId: APP, name: "web.1" });
      hub.follow({ id: "silent", appId: APP, name: "web.2" });
      await hub.ended(DYNO, never);
    }
    await using hub = await open();
    hub.follow({ id: DYNO, appId: APP, name: "web.1" });
    await hub.ended(DYNO, never);
    const seen = await hub.history(APP, { lines: 9_999 });
    assert.equal(seen.length, 1_500);
    assert.deepEqual([seen[0]?.id, seen.at(-1)?.id], [4_501, 6_000]);
    assert.ok(seen.every(({ text, id }) => text.startsWith(`line ${id - 1} x`)));
    assert.ok((await readdir(join(folder, APP))).length <= 4);
  }));

test("spec 8.3: nothing is kept for more than a week", () =>
  world(async ({ open, clock, folder }) => {
    await using hub = await open();
    hub.append(APP, line("old"));
    await hub.history(APP, { lines: 1 });
    const [name = ""] = await readdir(join(folder, APP));
    await utimes(join(folder, APP, name), new Date(NOW), new Date(NOW));
    clock.time += KEPT_MS + 1;
    assert.deepEqual(await texts(hub), []);
    while ((await readdir(join(folder, APP))).includes(name)) await systemClock.sleep(10, AbortSignal.timeout(5_000));
    hub.append(APP, line("new", { at: clock.time }));
    assert.deepEqual(
      (await hub.history(APP, { lines: 5 })).map(({ id, text }) => [id, text]),
      [[2, "new"]],
    );
  }));

test("a tail goes on after the line it saw last, without a gap or a line twice, while lines come", () =>
  world(async ({ open }) => {
    await using hub = await open();
    for (const text of numbered(0, 500)) hub.append(APP, line(text));
    const first = await collect(hub.subscribe(APP, {}, 0, never), 300);
    const rest = collect(hub.subscribe(APP, {}, first.at(-1)?.id, never), 700);
    for (const text of numbered(500, 1_000)) {
      hub.append(APP, line(text));
      if (text.endsWith("0")) await new Promise(setImmediate);
    }
    assert.deepEqual(
      [...first, ...(await rest)].map(({ text }) => text),
      numbered(0, 1_000),
    );
    const live = collect(hub.subscribe(APP, { process: "api" }, undefined, never), 1);
    await hub.history(APP, { lines: 1 });
    hub.append(APP, line("not wanted"));
    hub.append(APP, line("wanted", { process: "api" }));
    assert.equal((await live)[0]?.text, "wanted");
  }));

test("spec 6.3: a reader that is too slow is told what it missed (L11), and goes on", () =>
  world(async ({ open }) => {
    await using hub = await open();
    const reader = hub.subscribe(APP, {}, undefined, never)[Symbol.asyncIterator]();
    const first = reader.next();
    await hub.history(APP, { lines: 1 });
    hub.append(APP, line("first"));
    assert.equal(((await first).value as StoredLine).text, "first");
    for (let n = 0; n < 3; n++) {
      for (const text of numbered(n * 5_000, (n + 1) * 5_000)) hub.append(APP, line(text));
      await hub.history(APP, { lines: 1 });
    }
    const seen: StoredLine[] = [];
    for (let n = 0; n < 10_001; n++) seen.push((await reader.next()).value as StoredLine);
    assert.equal(seen[9_999]?.text, "line 9999");
    assert.equal(
      seen[10_000]?.text,
      "L11 (Tail buffer overflow) -> This tail session dropped 5000 messages since 2026-01-02T03:04:06+00:00",
    );
    assert.equal(seen[10_000]?.id, 15_001);
    hub.append(APP, line("again"));
    assert.equal(((await reader.next()).value as StoredLine).text, "again");
    await reader.return?.();
  }));

test("a removed app's log is gone, its readers end, and what still comes for it is thrown away", () =>
  world(async ({ open, folder, rawFolder }) => {
    using raw = new RawWriter(rawFolder, DYNO);
    raw.write("a");
    await using hub = await open();
    hub.follow({ id: DYNO, appId: APP, name: "web.1" });
    const reader = collect(hub.subscribe(APP, {}, 0, never), 100);
    hub.append("other", line("stays"));
    await hub.history(APP, { lines: 1 });
    await hub.removeApp(APP);
    await reader;
    hub.append(APP, line("late"));
    assert.deepEqual(await texts(hub), []);
    await hub.history("other", { lines: 1 });
    assert.deepEqual(await readdir(folder), ["other"]);
  }));

test("logs of apps that are no more are deleted at the start", () =>
  world(async ({ open, folder, rawFolder, clock }) => {
    {
      await using hub = await open();
      hub.append(APP, line("a"));
      hub.append("gone", line("b"));
    }
    const appIds = async () => [APP];
    const engine = { trimLog: async () => {} };
    await using _hub = await openLogs({ folder, rawFolder, engine, clock, logger: silentLogger, appIds });
    assert.deepEqual(await readdir(folder), [APP]);
  }));

test("spec 3.9: the output of an attached dyno comes byte for byte, over rotations", () =>
  world(async ({ open, rawFolder, trims }) => {
    using raw = new RawWriter(rawFolder, DYNO);
    await using hub = await open();
    const output = hub.output(DYNO, never)[Symbol.asyncIterator]();
    const next = async () => Buffer.from((await output.next()).value as Uint8Array).toString("latin1");
    raw.piece("~ $ ");
    assert.equal(await next(), "~ $ ");
    raw.bytes(Buffer.from(raw.record("\xff\x1b[2J\r"), "latin1"));
    assert.equal(await next(), "\xff\x1b[2J\r\n");
    raw.rename();
    raw.reopen();
    raw.write("after");
    assert.equal(await next(), "after\n");
    raw.piece("end");
    await hub.ended(DYNO, never);
    assert.equal(await next(), "end");
    assert.equal((await output.next()).done, true);
    assert.deepEqual(trims, [[DYNO, 2]]);
  }));

test("while the disk refuses, lines wait; what was too much is counted", () =>
  world(async ({ open, folder }) => {
    await using hub = await open();
    await writeFile(join(folder, APP), "in the way");
    for (const text of numbered(0, 10_050)) hub.append(APP, line(text));
    const waiting = hub.history(APP, { lines: 2 });
    await rm(join(folder, APP));
    assert.deepEqual(
      (await waiting).map(({ text }) => text),
      ["line 9999", "Error L12: 50 messages dropped since 2026-01-02T03:04:06+00:00."],
    );
    hub.append(APP, line("again"));
    assert.deepEqual(await texts(hub, 1), ["again"]);
  }));

test("waiting for a dyno's end can be given up", () =>
  world(async ({ open, folder, rawFolder }) => {
    using raw = new RawWriter(rawFolder, DYNO);
    raw.write("x");
    await using hub = await open();
    await writeFile(join(folder, APP), "in the way");
    hub.follow({ id: DYNO, appId: APP, name: "web.1" });
    await assert.rejects(hub.ended(DYNO, AbortSignal.timeout(20)), { name: "TimeoutError" });
  }));

test("a line of which no event told is in the app's log all the same", () =>
  world(async ({ rawFolder, open }) => {
    await using hub = await open();
    await rm(rawFolder, { recursive: true }); // what is watched is gone
    await mkdir(rawFolder);
    using raw = new RawWriter(rawFolder, DYNO);
    hub.follow({ id: DYNO, appId: APP, name: "web.1" });
    const lines = hub.subscribe(APP, {}, undefined, never);
    raw.write("unseen");
    assert.deepEqual(
      (await collect(lines, 1)).map(({ text }) => text),
      ["unseen"],
    );
    raw.write("once more");
    raw.write("and again");
    const more = await collect(hub.subscribe(APP, {}, 1, never), 2);
    assert.deepEqual(
      more.map(({ text }) => text),
      ["once more", "and again"],
    );
  }));
