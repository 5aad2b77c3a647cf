import { openSync, writeSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { systemClock } from "../src/lib/clock.ts";
import { jsonLogger } from "../src/lib/logger.ts";
import { openLogs } from "../src/logs/hub.ts";
import { RequestLog } from "../src/router/request-log.ts";

/**
 * What a request's line costs the daemon, from HAProxy's ring to the app's log on disk and into the counts:
 * `node bench/requests.ts [LINES] [APPS] [LINES_A_SECOND]`, without pause if not said. Prints processor time a line (user and system, of this process alone).
 */
const LINES = Number(process.argv[2] ?? 500_000);
const APPS = Number(process.argv[3] ?? 20);
const RATE = Number(process.argv[4] ?? 0);
const home = await mkdtemp(join(tmpdir(), "stator-bench-"));
/** HAProxy's rings are on tmpfs. */
const volatile = await mkdtemp("/dev/shm/stator-bench-");

const id = (kind: string, number: number) => `${kind.repeat(8)}-2222-3333-4444-${String(number).padStart(12, "0")}`;
const line = (count: number): string => {
  const app = count % APPS;
  const text = `stator3 42 ${count} ${Date.now() * 1000 + (count % 1000)} ${id("a", app)} ${id("d", app * 5 + (count % 5))} - 200 312 ---- 0 0 0 ${count % 40} 0 ${count % 40} 5f3b0c1e-7d2a-4a56-9c7e-${String(count).padStart(12, "0")} http 192.0.2.${count % 250} 99 - 0"GET /articles/${count}?page=2&sort=new HTTP/1.1"{app-${app}.example.com||198.51.100.7}"`;
  return text;
};

/** A message as it stands in HAProxy's ring (`src/router/request-ring.ts`); of 240 to 2,287 characters. */
const message = (text: string): Buffer => {
  const rest = text.length - 0xf0;
  return Buffer.concat([Buffer.of((text.length & 0xff) | 0xf0, rest >> 4), Buffer.from(text, "latin1"), Buffer.of(0)]);
};

// The feeder writes ready blocks, so that making them is not measured.
const BLOCK = RATE === 0 ? 1_000 : 50;
const blocks = Array.from({ length: Math.ceil(LINES / BLOCK) }, (_, block) =>
  Buffer.concat(Array.from({ length: BLOCK }, (_unused, index) => message(line(block * BLOCK + index)))),
);
const HEAD = 72;
const SIZE = 8 * 1024 * 1024 - HEAD;
await mkdir(join(volatile, "requests"));
const ring = openSync(join(volatile, "requests", "42"), "w");
let written = 0;
/** As HAProxy does, but many messages at once; none is deleted, only written over. */
function write(bytes: Buffer): void {
  const at = written % SIZE;
  const first = Math.min(bytes.length, SIZE - at);
  writeSync(ring, bytes, 0, first, HEAD + at);
  writeSync(ring, bytes, first, bytes.length - first, HEAD);
  written += bytes.length;
  const head = Buffer.alloc(HEAD);
  head.writeBigUInt64LE(BigInt(SIZE), 0);
  head.writeBigUInt64LE(BigInt(Math.min(written, ROOM)), 16);
  head.writeBigUInt64LE(BigInt(Math.max(0, written - ROOM)), 32);
  writeSync(ring, head, 0, HEAD, 0);
}
/** What is offered to the reader at most; it never waits for what is beyond. */
const ROOM = SIZE / 2;
write(Buffer.alloc(1));
writeSync(ring, Buffer.of(0), 0, 1, HEAD + SIZE - 1);

await using hub = await openLogs({
  folder: join(home, "logs"),
  rawFolder: home,
  engine: { trimLog: async () => {} },
  clock: systemClock,
  logger: jsonLogger("bench"),
});
await using requests = await RequestLog.open({
  instance: { paths: { run: volatile, daemonRun: volatile } },
  logs: hub,
  nameOf: async (_appId, dynoId) => `web.${(Number(dynoId.slice(-12)) % 5) + 1}`,
  clock: systemClock,
  logger: jsonLogger("bench"),
});
const never = new AbortController().signal;
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
const before = process.cpuUsage();
const start = performance.now();
for (const [index, block] of blocks.entries()) {
  while (requests.linesRead < index * BLOCK - 4_000) await new Promise((resolve) => setTimeout(resolve, 1));
  if (RATE > 0) await systemClock.sleep(start + (index * BLOCK * 1000) / RATE - performance.now(), never);
  write(block);
}
const wanted = blocks.length * BLOCK;
while (requests.linesRead < wanted) await new Promise((resolve) => setTimeout(resolve, 1));
for (let app = 0; app < APPS; app++) await hub.history(id("a", app), { lines: 1 });
const seconds = (performance.now() - start) / 1000;
const { user, system } = process.cpuUsage(before);
delay.disable();
console.log({
  lines: wanted,
  linesEachSecond: Math.round(wanted / seconds),
  cpuMicrosEachLine: Number(((user + system) / wanted).toFixed(2)),
  userMicrosEachLine: Number((user / wanted).toFixed(2)),
  loopHeldMs: { p99: delay.percentile(99) / 1e6, max: delay.max / 1e6 },
});
await Promise.all([home, volatile].map((folder) => rm(folder, { recursive: true })));
