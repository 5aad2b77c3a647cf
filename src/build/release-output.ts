import { EventEmitter } from "node:events";
import { type FileHandle, mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { addAbortListener } from "../lib/abort.ts";
import type { Clock } from "../lib/clock.ts";
import { Limit } from "../lib/limit.ts";
import type { Logger } from "../lib/logger.ts";
import { UUID } from "../lib/uuid.ts";
import type { LogLine } from "../logs/line.ts";
import type { DynoRecord } from "../model/dyno.ts";
import type { CommandOutput } from "../supervisor/supervision.ts";
import { OUTPUT_BYTES_MAX, trimFolder } from "./output.ts";

type StoredLine = LogLine & { readonly id: number };
type Filter = { readonly process: string };

export interface ReleaseOutputOptions {
  /** Where they are kept: `data/releases`. */
  readonly folder: string;
  /** The apps' logs: where dynos' lines come to, each once. */
  readonly logs: {
    history(appId: string, query: { readonly lines: number; readonly filter: Filter }): Promise<readonly StoredLine[]>;
    subscribe(
      appId: string,
      filter: Filter,
      afterId: number | undefined,
      signal: AbortSignal,
    ): AsyncIterable<StoredLine>;
  };
  readonly clock: Clock;
  readonly logger: Logger;
}

const PIECE_BYTES = 64 * 1024;
/** After the last line: nothing more comes. */
const END = "end\n";
/** Longer than this the last lines of a command that has ended are not waited for. */
const LATE_MS = 10_000;
const LATE_AT_ONCE = 4;
/** What ended so long ago was recorded, or is lost. */
const OLD_MS = 86_400_000;

/**
 * What release commands said: one file for each release, which is read while it grows and long after the app's log has forgotten. A line of
 * it is the number of the line in the app's log, a blank, and the text; so a daemon that was killed goes on where it was.
 */
export class ReleaseOutputs implements CommandOutput, AsyncDisposable {
  readonly #options: ReleaseOutputOptions;
  /** By release. */
  readonly #recordings = new Map<string, Recording>();
  /** Dynos whose recording is under way or done. */
  readonly #known = new Set<string>();
  readonly #begun = new EventEmitter().setMaxListeners(0);
  /** Of commands that had ended before this daemon heard of them, few at a time: there may be some of every app. */
  readonly #late = new Limit(LATE_AT_ONCE);
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<void>>();

  private constructor(options: ReleaseOutputOptions) {
    this.#options = options;
  }

  static async open(options: ReleaseOutputOptions): Promise<ReleaseOutputs> {
    await mkdir(options.folder, { recursive: true, mode: 0o700 });
    await trimFolder(options.folder);
    return new ReleaseOutputs(options);
  }

  follow(record: DynoRecord): void {
    const { id, releaseId, exit } = record;
    const isOld = exit !== null && exit.at < this.#options.clock.now() - OLD_MS;
    if (!this.#known.has(id) && !isOld && UUID.test(releaseId)) {
      this.#known.add(id);
      const recording = new Recording(this.#path(releaseId), record, this.#options);
      this.#recordings.set(releaseId, recording);
      const begin = () => recording.run(this.#stop.signal, () => this.#begun.emit(releaseId));
      const done = (exit === null ? begin() : this.#late.run(begin))
        .catch((error: unknown) => this.#options.logger.warn("release.output-lost", { releaseId, error }))
        .finally(() => {
          this.#recordings.delete(releaseId);
          this.#running.delete(done);
        });
      this.#running.add(done);
    }
    if (exit !== null) this.#recordings.get(releaseId)?.commandEnded();
  }

  /** All that the release's command said and will say; waits until it has begun, or `signal`: then undefined, if nothing is known of it. */
  async stream(releaseId: string, signal: AbortSignal): Promise<Readable | undefined> {
    if (!UUID.test(releaseId)) return undefined;
    const begun = Promise.withResolvers<void>();
    const resolve = () => begun.resolve();
    this.#begun.once(releaseId, resolve);
    using _stopped = addAbortListener(AbortSignal.any([signal, this.#stop.signal]), resolve);
    try {
      const there = await this.#open(releaseId);
      if (there !== undefined) return there;
      await begun.promise;
      return await this.#open(releaseId);
    } finally {
      this.#begun.off(releaseId, resolve);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running);
  }

  async #open(releaseId: string): Promise<Readable | undefined> {
    const live = this.#recordings.get(releaseId);
    const file = await open(this.#path(releaseId), "r").catch(() => undefined); // not begun, or long gone
    return file && Readable.from(read(file, live), { objectMode: false });
  }

  #path(releaseId: string): string {
    return join(this.#options.folder, `${releaseId}.txt`);
  }
}

/** Carries the lines of one release command from its app's log into the release's file. */
class Recording {
  readonly #path: string;
  readonly #dyno: DynoRecord;
  readonly #options: ReleaseOutputOptions;
  readonly #changes = new EventEmitter().setMaxListeners(0);
  readonly #over = new AbortController();
  readonly #ended = Promise.withResolvers<void>();
  /** The last line of the app's log that was looked at, and the last there is once the command has ended. */
  #seenId = 0;
  #lastId: number | undefined;
  #bytes = 0;
  done = false;

  constructor(path: string, dyno: DynoRecord, options: ReleaseOutputOptions) {
    this.#path = path;
    this.#dyno = dyno;
    this.#options = options;
  }

  /** The command has ended, and its lines are in the app's log. */
  commandEnded(): void {
    this.#ended.resolve();
  }

  async run(stop: AbortSignal, begun: () => void): Promise<void> {
    const { logs } = this.#options;
    await using file = await open(this.#path, "a+", 0o600);
    try {
      begun();
      if (await this.#isComplete(file)) return;
      using _stop = addAbortListener(stop, () => this.#over.abort());
      void this.#endAfterLast(this.#over.signal);
      const filter = { process: this.#dyno.name };
      for await (const line of logs.subscribe(this.#dyno.appId, filter, this.#seenId, this.#over.signal)) {
        await this.#take(line, file);
        if (this.#lastId !== undefined && this.#seenId >= this.#lastId) break;
      }
      if (!stop.aborted) await file.appendFile(END);
    } finally {
      this.done = true;
      this.#over.abort();
      this.#changes.emit("change");
    }
  }

  /** Resolves at the next change; at once if there can be none. */
  changed(): Promise<void> {
    if (this.done) return Promise.resolve();
    return new Promise((resolve) => this.#changes.once("change", resolve));
  }

  /** Finds where a daemon before has stopped; half a line of it is taken away. */
  async #isComplete(file: FileHandle): Promise<boolean> {
    const { size } = await file.stat();
    const last = await file.read(Buffer.alloc(END.length + 1), 0, END.length + 1, Math.max(0, size - END.length - 1));
    const tail = last.buffer.toString("utf8", 0, last.bytesRead);
    if (tail === `\n${END}` || tail === END) return true;
    const text = await file.readFile("utf8");
    const whole = text.slice(0, text.lastIndexOf("\n") + 1);
    this.#bytes = Buffer.byteLength(whole);
    if (whole.length < text.length) await file.truncate(this.#bytes);
    const lastLine = whole.slice(whole.lastIndexOf("\n", whole.length - 2) + 1);
    this.#seenId = Number.parseInt(lastLine, 10) || 0;
    return false;
  }

  async #take({ id, at, source, text }: StoredLine, file: FileHandle): Promise<void> {
    this.#seenId = id;
    const isOfAnother = at < this.#dyno.createdAt - 1_000; // names are used again
    if (source !== "app" || isOfAnother || this.#bytes >= OUTPUT_BYTES_MAX) return;
    const bytes = Buffer.from(`${id} ${text}\n`);
    this.#bytes += bytes.length;
    await file.appendFile(this.#bytes < OUTPUT_BYTES_MAX ? bytes : `${id} [the rest was not kept]\n`);
    this.#changes.emit("change");
  }

  /** Ends the recording with the command's last line. */
  async #endAfterLast(signal: AbortSignal): Promise<void> {
    const { logs, clock } = this.#options;
    using _over = addAbortListener(signal, () => this.#ended.resolve());
    await this.#ended.promise;
    if (signal.aborted) return;
    const [last] = await logs.history(this.#dyno.appId, { lines: 1, filter: { process: this.#dyno.name } });
    this.#lastId = last?.id ?? 0;
    if (this.#seenId < this.#lastId) await clock.sleep(LATE_MS, signal).catch(() => {}); // ended with the last line
    this.#over.abort();
  }
}

/** The texts, without the numbers. */
async function* read(file: FileHandle, live: Recording | undefined): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  try {
    for (;;) {
      const isDone = live?.done ?? true;
      const change = live?.changed();
      const { bytesRead, buffer } = await file.read(Buffer.alloc(PIECE_BYTES));
      if (bytesRead === 0) {
        if (isDone) return;
        await change;
        continue;
      }
      const bytes = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
      const end = bytes.lastIndexOf(10) + 1;
      rest = bytes.subarray(end);
      const text = textsOf(bytes.subarray(0, end));
      if (text.length > 0) yield text;
    }
  } finally {
    await file.close();
  }
}

function textsOf(lines: Buffer): Buffer {
  const texts: Buffer[] = [];
  for (let start = 0; start < lines.length; ) {
    const end = lines.indexOf(10, start) + 1;
    const blank = lines.indexOf(32, start);
    if (blank >= 0 && blank < end) texts.push(lines.subarray(blank + 1, end)); // the end has none
    start = end;
  }
  return Buffer.concat(texts);
}
