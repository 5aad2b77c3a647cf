import { chmod, rm, stat } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { LogSink } from "../logs/line.ts";
import type { Instance } from "../model/instance.ts";
import { Gaps } from "./request-gaps.ts";
import { parseRequest, type RequestRecord, requestLogLine } from "./request-line.ts";
import { requestSocket } from "./request-socket.ts";

export interface RequestLogOptions {
  readonly instance: { readonly paths: Pick<Instance["paths"], "daemonRun"> };
  readonly logs: LogSink;
  /** The dyno's name, if it is one of the app's. */
  readonly nameOf: (appId: string, dynoId: string) => Promise<string | undefined>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A line is shorter; anything else is not HAProxy. */
const LINE_BYTES_MAX = 32 * 1024;
const GAP_LOOK_MS = 2_000;
const NAMES_MAX = 10_000;
/** Apps that are told of lost lines: those that had requests lately. */
const TOLD_MAX = 1_000;

/**
 * Takes request lines from HAProxy's ring (a unix socket in the daemon's run folder, which only HAProxy's group can reach) and
 * appends them to the apps' logs. While the daemon is dead the host process holds HAProxy's connection (`RequestPark`) and the
 * lines wait in the ring; what it drops is counted and said.
 */
export class RequestLog implements AsyncDisposable {
  readonly #options: RequestLogOptions;
  /** With the inode of its socket. */
  #listening: { readonly server: Server; readonly inode: number } | undefined;
  readonly #sockets = new Set<Socket>();
  readonly #closed = new AbortController();
  readonly #names = new Map<string, string>();
  readonly #gaps = new Gaps();
  readonly #recent = new Set<string>();
  readonly #watch: Promise<void>;
  /** Lines are appended in the order they came. */
  #last: Promise<void> = Promise.resolve();

  private constructor(options: RequestLogOptions) {
    this.#options = options;
    this.#watch = this.#watchGaps();
  }

  static async open(options: RequestLogOptions): Promise<RequestLog> {
    const log = new RequestLog(options);
    await log.#listen();
    return log;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#listening?.server.close(resolve) ?? resolve(undefined));
    await this.#watch;
    await this.#last;
  }

  #read(socket: Socket): void {
    if (this.#closed.signal.aborted) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    let rest: Buffer = Buffer.alloc(0);
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
      const records = lines.map(parseRequest).filter((record) => record !== undefined);
      if (records.length > 0) this.#last = this.#last.then(() => this.#append(records));
    });
  }

  async #append(records: readonly RequestRecord[]): Promise<void> {
    const { logs, logger } = this.#options;
    for (const record of records) {
      this.#gaps.saw(record.worker, record.count);
      if (record.appId === null) continue;
      try {
        const dyno = record.dynoId === null ? null : await this.#nameOf(record.appId, record.dynoId);
        logs.append(record.appId, requestLogLine(record, dyno));
        this.#remember(record.appId);
      } catch (error) {
        logger.error("router.line_failed", { error });
      }
    }
  }

  async #nameOf(appId: string, dynoId: string): Promise<string> {
    const known = this.#names.get(dynoId);
    if (known !== undefined) return known;
    const name = (await this.#options.nameOf(appId, dynoId)) ?? "web";
    if (this.#names.size >= NAMES_MAX) this.#names.clear();
    this.#names.set(dynoId, name);
    return name;
  }

  #remember(appId: string): void {
    this.#recent.delete(appId);
    this.#recent.add(appId);
    for (const oldest of this.#recent) {
      if (this.#recent.size <= TOLD_MAX) break;
      this.#recent.delete(oldest);
    }
  }

  async #listen(): Promise<void> {
    const path = requestSocket(this.#options.instance);
    await rm(path, { force: true });
    const server = createServer((socket) => this.#read(socket)); // from the first connection on: HAProxy is waiting
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
      await this.#stay().catch((error: unknown) => logger.warn("router.requests_unheard", { error }));
      const lost = this.#gaps.takeLost();
      if (lost === 0) continue;
      logger.warn("router.lines_lost", { lost });
      const text = `Error L10 (output buffer overflow): ${lost} request lines of all apps were lost`;
      for (const appId of this.#recent)
        logs.append(appId, { at: clock.now(), source: "heroku", process: "router", text });
    }
  }
}

/** Messages with their length in front (`12 hello world!`); `left` undefined: not that. */
export function splitFrames(bytes: Buffer): { readonly lines: readonly string[]; readonly left: Buffer | undefined } {
  const lines: string[] = [];
  let at = 0;
  for (;;) {
    const blank = bytes.indexOf(0x20, at);
    if (blank === -1) {
      const begun = bytes.subarray(at);
      return { lines, left: begun.length < 8 && /^\d*$/.test(begun.toString("latin1")) ? begun : undefined };
    }
    const digits = bytes.toString("latin1", at, blank);
    if (!/^[1-9]\d{0,5}$/.test(digits) || Number(digits) > LINE_BYTES_MAX) return { lines, left: undefined };
    const end = blank + 1 + Number(digits);
    if (end > bytes.length) return { lines, left: bytes.subarray(at) };
    lines.push(bytes.toString("latin1", blank + 1, end));
    at = end;
  }
}
