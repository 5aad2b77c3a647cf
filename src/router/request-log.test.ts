import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
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

function frame(count: number, { app = APP, dyno = 1 } = {}): string {
  const text = `stator3 42 ${count} ${NOW * 1000} ${app} ${dynoId(dyno)} - 200 9 ---- 0 0 1 2 3 6 id-${count} http 9.8.7.6 99 - 0"GET /${count} HTTP/1.1"{a.b||}"`;
  return `${text.length} ${text}`;
}

/** A reader, what it has appended, and HAProxy's end of its socket. */
async function reading(nameOf: (dynoId: string) => Promise<string | undefined>) {
  const lines: (LogLine & { readonly appId: string })[] = [];
  const requests = await RequestLog.open({
    instance: { paths: { daemonRun: folder } },
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
  const frames = Array.from({ length: 60 }, (_, count) => frame(count, { dyno: 1 + (count % 3) })).join("");
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
