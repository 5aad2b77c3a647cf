import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Clock } from "../lib/clock.ts";
import { silentLogger } from "../lib/logger.ts";
import type { LogLine } from "../logs/line.ts";
import { RequestLog } from "./request-log.ts";

const folder = mkdtempSync(join(tmpdir(), "stator-requests-"));
after(() => rmSync(folder, { recursive: true }));

const NOW = 1_795_460_667_000;
/** Every wait is over at once. */
const clock: Clock = { now: () => NOW, sleep: () => new Promise((resolve) => setImmediate(resolve)) };
const [APP, OTHER] = ["11111111-2222-3333-4444-555555555555", "22222222-2222-3333-4444-555555555555"];
const dynoId = (number: number) => `aaaaaaaa-bbbb-cccc-dddd-${String(number).padStart(12, "0")}`;

function frame(count: number, { app = APP, dyno = dynoId(1), held = "-" } = {}): string {
  const text = `stator3 42 ${count} ${NOW * 1000} ${app} ${dyno} - 200 9 ---- 0 0 1 2 3 6 id-${count} http 9.8.7.6 99 ${held} 0"GET /${count} HTTP/1.1"{a.b||}"`;
  return `${text.length} ${text}`;
}

/** A reader, what it has appended, and HAProxy's end of its socket. */
async function reading(nameOf: (dynoId: string) => Promise<string | undefined>) {
  const lines: (LogLine & { readonly appId: string })[] = [];
  const requests = await RequestLog.open({
    instance: { paths: { run: folder, daemonRun: folder } },
    logs: { append: (appId, line) => void lines.push({ ...line, appId }) },
    nameOf: (_appId, id) => nameOf(id),
    clock,
    logger: silentLogger,
  });
  const socket = connect(join(folder, "requests.sock"));
  await once(socket, "connect");
  const until = async (isTrue: () => boolean) => {
    for (const end = performance.now() + 5_000; !isTrue(); await new Promise(setImmediate))
      assert.ok(
        performance.now() < end,
        `not in time: ${isTrue.toString()}\n${lines.map(({ text }) => text).join("\n")}`,
      );
  };
  return {
    lines,
    requests,
    socket,
    until,
    async [Symbol.asyncDispose]() {
      socket.destroy();
      await requests[Symbol.asyncDispose]();
    },
  };
}

test("lines come into the log in their order, however they are cut and whatever name is looked up", async () => {
  const asked: string[] = [];
  await using reader = await reading(async (id) => {
    asked.push(id);
    await new Promise((resolve) => setTimeout(resolve, 5));
    return id === dynoId(3) ? undefined : `web.${Number(id.slice(-3))}`;
  });
  const frames = Array.from({ length: 60 }, (_, count) => frame(count, { dyno: dynoId(1 + (count % 3)) })).join("");
  for (let at = 0; at < frames.length; at += 997) reader.socket.write(frames.slice(at, at + 997));
  await reader.until(() => reader.lines.length === 60);
  for (const [count, { text, process, at }] of reader.lines.entries()) {
    const name = ["web.1", "web.2", "web"][count % 3];
    assert.match(text, new RegExp(`path="/${count}" .* dyno=${name} connect=1ms service=5ms status=200`));
    assert.deepEqual([process, at], ["router", NOW]);
  }
  assert.deepEqual(asked.sort(), [dynoId(1), dynoId(2), dynoId(3)], "each name is asked for once");
  const { requests, byDyno } = reader.requests.requestsOf(APP);
  assert.equal(requests, 60);
  assert.deepEqual([byDyno.get(dynoId(2))?.requests, byDyno.get(dynoId(2))?.name], [20, "web.2"]);
  assert.equal(reader.requests.linesLost, 0);
});

test("lines that were lost are counted, and said in the logs of the apps that had requests", async () => {
  await using reader = await reading(async () => "web.1");
  reader.socket.write(frame(1) + frame(2, { app: OTHER }) + frame(1_003));
  await reader.until(() => reader.requests.linesLost === 1_000);
  await reader.until(() => reader.lines.length === 5);
  const told = reader.lines.filter(({ text }) => text.includes("L10"));
  assert.deepEqual(told.map(({ appId }) => appId).sort(), [APP, OTHER]);
  for (const { text } of told)
    assert.equal(text, "Error L10 (output buffer overflow): 1000 request lines of all apps were lost");
});

test("an app's latest request is one that a dyno got, or that was held for one; what the router answered itself is none", async () => {
  await using reader = await reading(async () => "web.1");
  const asked = async (text: string) => {
    const count = reader.lines.length;
    reader.socket.write(text);
    await reader.until(() => reader.lines.length === count + 1);
  };
  await asked(frame(1, { dyno: "<NOSRV>" }));
  assert.equal(reader.requests.lastRequestAt(APP), undefined);
  await asked(frame(2, { dyno: "<NOSRV>", held: "1" }));
  assert.equal(reader.requests.lastRequestAt(APP), NOW);
  await asked(frame(3, { app: OTHER }));
  assert.equal(reader.requests.lastRequestAt(OTHER), NOW);
});

/** A worker's ring, which was never full. */
class RingFile {
  readonly #path: string;
  readonly #size = 100_000;
  #messages = Buffer.of(0);

  constructor(worker: number) {
    mkdirSync(join(folder, "requests"), { recursive: true });
    this.#path = join(folder, "requests", String(worker));
    this.write("");
  }

  /** Those that are shorter than 240 characters. */
  write(...texts: readonly string[]): void {
    const messages = texts.flatMap((text) =>
      text === "" ? [] : [Buffer.of(text.length), Buffer.from(text), Buffer.of(0)],
    );
    this.#messages = Buffer.concat([this.#messages, ...messages]);
    const file = Buffer.alloc(72 + this.#size);
    file.writeUInt32LE(this.#size, 0);
    file.writeUInt32LE(this.#messages.length, 16);
    this.#messages.copy(file, 72);
    writeFileSync(this.#path, file, { flag: existsSync(this.#path) ? "r+" : "w" }); // HAProxy's file stays the same
  }

  remove(): void {
    rmSync(this.#path);
  }
}
const message = (count: number, worker = 42) =>
  frame(count).replace(/^\d+ /, "").replace("stator3 42 ", `stator3 ${worker} `);

test("rings are read: those that come later too, and those of workers that are gone until their files are", async () => {
  const old = new RingFile(41);
  old.write(message(1, 41), message(2, 41), "Proxy http started.");
  await using reader = await reading(async () => "web.1");
  await reader.until(() => reader.lines.length === 2);
  const next = new RingFile(42);
  next.write(message(1));
  await reader.until(() => reader.lines.length === 3);
  old.write(message(3, 41));
  await reader.until(() => reader.lines.length === 4);
  old.remove();
  next.write(message(2));
  await reader.until(() => reader.lines.length === 5);
  assert.deepEqual(
    reader.lines.map(({ text }) => /path="\/(\d+)"/.exec(text)?.[1]),
    ["1", "2", "1", "3", "2"],
  );
  next.remove();
});

test("a reader goes on where the one before had come to, and knows what is missing between them", async () => {
  const ring = new RingFile(43);
  ring.write(message(7, 43), message(8, 43));
  {
    await using first = await reading(async () => "web.1");
    await first.until(() => first.lines.length === 2);
  }
  ring.write(message(13, 43));
  await using second = await reading(async () => "web.1");
  await second.until(() => second.requests.linesLost === 4);
  assert.match(second.lines[0]?.text ?? "", /path="\/13"/);
  ring.remove();
});

test("a ring in which nothing can be read is gone past, and what comes then is read", async () => {
  const ring = new RingFile(44);
  ring.write(message(1, 44), "\0\xff\xff\xff".repeat(20));
  await using reader = await reading(async () => "web.1");
  await reader.until(() => reader.lines.length === 1);
  writeFileSync(join(folder, "requests", "45"), "no ring at all");
  ring.write(message(2, 44));
  await reader.until(() => reader.lines.length === 2);
  rmSync(join(folder, "requests"), { recursive: true });
});

test("what is not HAProxy's is hung up on, and the next connection is read", async () => {
  await using reader = await reading(async () => "web.1");
  reader.socket.on("error", () => {}); // reset, perhaps
  reader.socket.write(`${frame(1)}GET / HTTP/1.1\r\n\r\n`);
  await once(reader.socket, "close");
  const again = connect(join(folder, "requests.sock"));
  again.write(frame(2));
  await reader.until(() => reader.lines.some(({ text }) => text.includes('"/2"')));
  again.destroy();
});
