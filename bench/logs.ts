import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { systemClock } from "../src/lib/clock.ts";
import { jsonLogger } from "../src/lib/logger.ts";
import { openLogs } from "../src/logs/hub.ts";

/**
 * How fast dynos' lines get into the app's log: one dyno floods, another writes a line each 10 ms.
 * Prints lines a second, CPU a line, the longest time the event loop was held, and how late the quiet dyno's lines came.
 */
const LINES = Number(process.argv[2] ?? 1_000_000);
const never = new AbortController().signal;
const home = await mkdtemp(join(tmpdir(), "stator-bench-"));
const at = (file: string) => join(home, file);

await using hub = await openLogs({
  folder: at("logs"),
  rawFolder: home,
  engine: { trimLog: async () => {} },
  clock: systemClock,
  logger: jsonLogger("bench"),
});
const text = "x".repeat(94);
const stamp = `${new Date().toISOString().slice(0, -1)}000000+00:00`;
await using flood = await open(at("flood.log"), "a");
const block = Buffer.from(`${stamp} stdout F ${text}\n`.repeat(1_000));
for (let written = 0; written < LINES; written += 1_000) await flood.write(block);
await using quiet = await open(at("quiet.log"), "a");

const late: number[] = [];
const stop = new AbortController();
const reader = (async () => {
  for await (const line of hub.subscribe("app", { process: "quiet.1" }, undefined, stop.signal)) {
    late.push(Date.now() - Number(line.text));
  }
})();
hub.follow({ id: "quiet", appId: "app", name: "quiet.1" });
await quiet.write(`${stamp} stdout F ${Date.now()}\n`);
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
const cpu = process.cpuUsage();
const start = performance.now();
hub.follow({ id: "flood", appId: "app", name: "web.1" });
const timer = setInterval(() => void quiet.write(`${stamp} stdout F ${Date.now()}\n`), 10);
await hub.ended("flood", never);
const seconds = (performance.now() - start) / 1000;
clearInterval(timer);
const { user, system } = process.cpuUsage(cpu);
delay.disable();
stop.abort();
await reader;
late.sort((a, b) => a - b);
console.log({
  lines: LINES,
  linesEachSecond: Math.round(LINES / seconds),
  cpuMicrosEachLine: Number(((user + system) / LINES).toFixed(2)),
  loopHeldMs: { p99: delay.percentile(99) / 1e6, max: delay.max / 1e6 },
  quietLateMs: { count: late.length, p50: late[late.length >> 1], max: late.at(-1) },
  kept: (await hub.history("app", { lines: 1_500 })).length,
});
await rm(home, { recursive: true });
