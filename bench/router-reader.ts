import { systemClock } from "../src/lib/clock.ts";
import { jsonLogger } from "../src/lib/logger.ts";
import { openLogs } from "../src/logs/hub.ts";
import { RequestLog } from "../src/router/request-log.ts";

/**
 * The daemon's part of the router in a process of its own, so that its processor time can be told: request lines into the log of
 * one app, on disk, and into the counts. `node bench/router-reader.ts RUN_FOLDER DAEMON_FOLDER APP_ID`; each byte on standard input is answered
 * with a line of numbers.
 */
export interface ReaderCounts {
  readonly linesRead: number;
  readonly linesLost: number;
  /** Lines of the app that are in its log. */
  readonly stored: number;
  readonly cpuMicros: number;
}

const [run = "", folder = "", appId = ""] = process.argv.slice(2);
const hub = await openLogs({
  folder: `${folder}/logs`,
  rawFolder: folder,
  engine: { trimLog: async () => {} },
  clock: systemClock,
  logger: jsonLogger("bench"),
});
const requests = await RequestLog.open({
  instance: { paths: { run, daemonRun: folder } },
  logs: hub,
  nameOf: async () => "web.1",
  clock: systemClock,
  logger: jsonLogger("bench"),
});
process.stdin.on("data", (bytes: Buffer) => {
  for (let asked = 0; asked < bytes.length; asked++) void answer();
});
process.stdin.on("end", () => process.exit());
process.stdout.write("{}\n");

async function answer(): Promise<void> {
  const { user, system } = process.cpuUsage(); // before the question costs any
  const [newest] = await hub.history(appId, { lines: 1 });
  const { linesRead, linesLost } = requests;
  const counts: ReaderCounts = { linesRead, linesLost, stored: newest?.id ?? 0, cpuMicros: user + system };
  process.stdout.write(`${JSON.stringify(counts)}\n`);
}
