import { chmod, rm, stat } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import type { Clock, Instant } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { LogSink } from "../logs/line.ts";
import type { Instance } from "../model/instance.ts";
import { counterOf, Gaps } from "./request-gaps.ts";
import { parseRequest, type RequestRecord, requestLogLine } from "./request-line.ts";
import { type AppRequests, RequestMetrics, type RequestReader } from "./request-metrics.ts";
import { LOOK_BYTES } from "./request-ring.ts";
import { RequestRings } from "./request-rings.ts";
import { requestRings, requestSocket } from "./request-socket.ts";

export interface RequestLogOptions {
  readonly instance: { readonly paths: Pick<Instance["paths"], "daemonRun" | "run"> };
  readonly logs: LogSink;
  /** The dyno's name, if it is one of the app's. */
  readonly nameOf: (appId: string, dynoId: string) => Promise<string | undefined>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A line is shorter; anything else is not HAProxy. */
const LINE_BYTES_MAX = 32 * 1024;
const GAP_LOOK_MS = 2_000;
/**
 * A wakeup costs as much as ten lines: unless many have come, we rest before the next look, and they gather. HAProxy has room for a
 * thousand times as many.
 */
const REST_MS = 20;
const MANY_BYTES = 16 * 1024;
/** After many: what gathers in 20 ms at 40,000 lines a second would keep a processor from HAProxy for 4 ms; a wakeup costs 0.1 ms. */
const SHORT_REST_MS = 5;
/** Between looks at rings in which nothing comes: an idle platform costs next to nothing. So long after so many looks. */
const QUIET: readonly { readonly looks: number; readonly restMs: number }[] = [
  { looks: 650, restMs: 200 }, // for half a minute
  { looks: 50, restMs: 50 }, // for a second
];
/** While no worker has a ring in a file. */
const NO_RING_REST_MS = 500;
const NAMES_MAX = 10_000;
/** Apps that are told of lost lines, of those that had requests lately. */
const TOLD_MAX = 1_000;

/**
 * Takes request lines from HAProxy's rings and appends them to the apps' logs and counts; what a ring drops is counted and said. HAProxy
 * 2.6 has its rings in files that we read (`RequestRings`). Other versions, whose files we do not know, send what is in the ring to a
 * unix socket in the daemon's run folder, which only HAProxy's group can reach; while the daemon is dead the host process holds their
 * connection (`RequestPark`).
 */
export class RequestLog implements RequestReader, AsyncDisposable {
  readonly #options: RequestLogOptions;
  /** With the inode of its socket. */
  #listening: { readonly server: Server; readonly inode: number } | undefined;
  readonly #sockets = new Set<Socket>();
  readonly #closed = new AbortController();
  readonly #names = new Map<string, string>();
  readonly #gaps = new Gaps();
  readonly #metrics: RequestMetrics;
  readonly #latest = new Map<string, Instant>();
  readonly #watch: Promise<void>;
  readonly #rings: RequestRings;
  readonly #reading: Promise<void>;
  /** What waits before more is read: lines for the name of a dyno, and we for more lines. */
  readonly #resting = new Set<Promise<void>>();
  #linesRead = 0;
  #linesLost = 0;

  private constructor(options: RequestLogOptions) {
    this.#options = options;
    this.#metrics = new RequestMetrics(options.clock.now());
    this.#watch = this.#watchGaps();
    this.#rings = new RequestRings({
      folder: requestRings(options.instance),
      placesFile: join(options.instance.paths.daemonRun, "requests.places"),
      gaps: this.#gaps,
      logger: options.logger,
    });
    this.#reading = this.#readRings();
  }

  static async open(options: RequestLogOptions): Promise<RequestLog> {
    const log = new RequestLog(options);
    await log.#listen();
    return log;
  }

  requestsOf(appId: string): AppRequests {
    const found = this.#metrics.requestsOf(appId, this.#options.clock.now());
    const named = Array.from(
      found.byDyno,
      ([id, counts]) => [id, { ...counts, name: this.#names.get(id) ?? "web" }] as const,
    );
    return { ...found, byDyno: new Map(named) };
  }

  /** Of those that a dyno got, or that waited for one. */
  lastRequestAt(appId: string): Instant | undefined {
    return this.#latest.get(appId);
  }

  get linesRead(): number {
    return this.#linesRead;
  }

  get linesLost(): number {
    return this.#linesLost;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#listening?.server.close(resolve) ?? resolve(undefined));
    await Promise.all([this.#watch, this.#reading, ...this.#resting]);
    this.#rings[Symbol.dispose]();
  }

  async #readRings(): Promise<void> {
    const { clock, logger } = this.#options;
    const closed = this.#closed.signal;
    let wereMany = false;
    for (let quiet = 0; !closed.aborted; quiet++) {
      let restMs = this.#rings.isEmpty
        ? NO_RING_REST_MS
        : (QUIET.find(({ looks }) => quiet >= looks)?.restMs ?? REST_MS);
      try {
        const { lines, bytes } = this.#rings.look(clock.now());
        if (lines.length > 0) await this.#append(parsed(lines));
        if (bytes > 0) {
          quiet = 0;
          restMs = bytes > LOOK_BYTES / 2 ? 0 : bytes >= MANY_BYTES || wereMany ? SHORT_REST_MS : REST_MS;
        }
        wereMany = bytes >= MANY_BYTES;
      } catch (error) {
        logger.error("router.rings_unread", { error });
      }
      await clock.sleep(restMs, closed).catch(() => {}); // closed
    }
  }

  #read(socket: Socket): void {
    if (this.#closed.signal.aborted) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    let rest: Buffer = Buffer.alloc(0);
    let wereMany = false;
    socket.on("error", () => {}); // HAProxy connects again
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("data", (chunk: Buffer) => {
      const { lines, left } = splitFrames(rest.length === 0 ? chunk : Buffer.concat([rest, chunk]));
      if (left === undefined) {
        this.#options.logger.warn("router.bad_frame");
        socket.destroy();
        return;
      }
      rest = left;
      const waiting = this.#append(parsed(lines));
      const areMany = chunk.length >= MANY_BYTES;
      const restMs = areMany || wereMany ? SHORT_REST_MS : REST_MS;
      wereMany = areMany;
      if (waiting === undefined && areMany) return;
      socket.pause(); // so that lines are appended in the order they came, and few wait
      const rested = this.#rest(waiting, restMs).then(() => {
        this.#resting.delete(rested);
        socket.resume();
      });
      this.#resting.add(rested);
    });
  }

  async #rest(waiting: Promise<void> | undefined, ms: number): Promise<void> {
    await waiting;
    await this.#options.clock.sleep(ms, this.#closed.signal).catch(() => {}); // closed
  }

  /** At once where all names are known, as nearly always; then nothing is to be waited for. */
  #append(records: readonly RequestRecord[]): Promise<void> | undefined {
    for (const [index, record] of records.entries()) {
      const { appId, dynoId } = record;
      const name = appId === null || dynoId === null ? null : this.#names.get(dynoId);
      if (appId !== null && dynoId !== null && name === undefined)
        return this.#learn(appId, dynoId).then(() => this.#append(records.slice(index)));
      this.#take(record, name ?? null);
    }
    return undefined;
  }

  #take(record: RequestRecord, dyno: string | null): void {
    this.#linesRead++;
    this.#gaps.saw(counterOf(record.worker, record.tls), record.count);
    if (record.appId === null) return;
    try {
      const line = requestLogLine(record, dyno);
      this.#options.logs.append(record.appId, line);
      this.#metrics.add(record.appId, line.at, record);
      // The router's own answers (https only, 401, maintenance) are none of the app's.
      if (record.dynoId !== null || record.isHeld) this.#latest.set(record.appId, line.at);
    } catch (error) {
      this.#options.logger.error("router.line_failed", { error });
    }
  }

  async #learn(appId: string, dynoId: string): Promise<void> {
    const name = await this.#options.nameOf(appId, dynoId).catch((error: unknown) => {
      this.#options.logger.warn("router.name_failed", { dynoId, error });
      return undefined;
    });
    if (this.#names.size >= NAMES_MAX) this.#names.clear();
    this.#names.set(dynoId, name ?? "web");
  }

  async #listen(): Promise<void> {
    const path = requestSocket(this.#options.instance);
    await rm(path, { force: true });
    // Read from the first connection on: HAProxy is waiting. Paused means that nothing is read.
    const server = createServer({ highWaterMark: 1 }, (socket) => this.#read(socket));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
    await chmod(path, 0o666); // the folder lets only HAProxy's group in
    this.#listening = { server, inode: (await stat(path)).ino };
  }

  /** Listens again where another socket took our path: the host process's, if it saw nobody in the instant before we came. */
  async #stay(): Promise<void> {
    const facts = await stat(requestSocket(this.#options.instance)).catch(() => undefined); // removed
    if (this.#listening === undefined || facts?.ino === this.#listening.inode || this.#closed.signal.aborted) return;
    this.#listening.server.close(); // takes the path's file along; connections stay
    await this.#listen();
  }

  async #watchGaps(): Promise<void> {
    const { clock, logs, logger } = this.#options;
    while (!this.#closed.signal.aborted) {
      await clock.sleep(GAP_LOOK_MS, this.#closed.signal).catch(() => {}); // closed
      this.#rings.refresh();
      await this.#stay().catch((error: unknown) => logger.warn("router.requests_unheard", { error }));
      const lost = this.#gaps.takeLost();
      if (lost === 0) continue;
      this.#linesLost += lost;
      logger.warn("router.lines_lost", { lost });
      const text = `Error L10 (output buffer overflow): ${lost} request lines of all apps were lost`;
      for (const appId of this.#metrics.apps().slice(0, TOLD_MAX))
        logs.append(appId, { at: clock.now(), source: "heroku", process: "router", text });
    }
  }
}

function parsed(lines: readonly string[]): readonly RequestRecord[] {
  return lines.map(parseRequest).filter((record) => record !== undefined);
}

/** Messages with their length in front (`12 hello world!`); `left` undefined: not that. */
export function splitFrames(bytes: Buffer): { readonly lines: readonly string[]; readonly left: Buffer | undefined } {
  const lines: string[] = [];
  let at = 0;
  for (;;) {
    let length = 0;
    let blank = at;
    for (; blank < bytes.length && bytes[blank] !== BLANK; blank++) {
      const digit = (bytes[blank] ?? 0) - ZERO;
      length = length * 10 + digit;
      if (digit < 0 || digit > 9 || length === 0 || length > LINE_BYTES_MAX) return { lines, left: undefined };
    }
    const end = blank + 1 + length;
    if (blank === bytes.length || end > bytes.length) return { lines, left: bytes.subarray(at) };
    if (length === 0) return { lines, left: undefined };
    lines.push(bytes.toString("latin1", blank + 1, end));
    at = end;
  }
}

const BLANK = 0x20;
const ZERO = 0x30;
