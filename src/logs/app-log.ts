import { rm } from "node:fs/promises";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Cursor } from "./cursor.ts";
import { type LogFilter, matches, type StoredLine } from "./filter.ts";
import type { LogLine } from "./line.ts";
import type { CarriedLine } from "./line-joiner.ts";
import { lineOf, SegmentWriter } from "./segment.ts";
import { KEPT_MS, LINES_KEPT, SegmentFiles } from "./segment-files.ts";
import { secondOf, Tail } from "./tail.ts";
import { cleanText, splitText } from "./text.ts";

export interface AppLogParts {
  readonly folder: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What waits to be written: a line, of a dyno with its cursor; or that a dyno is to be forgotten. */
type Entry =
  | { readonly line: LogLine; readonly dynoId?: string; readonly cursor?: Cursor }
  | { readonly forget: string };

/** Lines of the platform that wait at most (a full disk); dynos' lines wait in their raw logs instead. */
const WAITING_MAX = 10_000;
/** Characters that wait before those who carry lines must. */
const ROOM = 1024 * 1024;
const BATCH = 256 * 1024;
/** Records of a log looked through for one question. */
const LOOKED_AT_MAX = 30_000;
const RETRY_MS = 1_000;

/**
 * One app's log on disk. Lines are written in batches, in the order they came; readers are shown nothing that is not in
 * the file. While the disk refuses, what was taken waits, up to a limit.
 */
export class AppLog implements AsyncDisposable {
  readonly #parts: AppLogParts;
  readonly #writer = new SegmentWriter();
  readonly #files: SegmentFiles;
  readonly #cursors = new Map<string, Cursor>();
  readonly #tails = new Set<Tail>();
  readonly #stop = new AbortController();
  #nextId: number | undefined;
  #waiting: Entry[] = [];
  #waitingText = 0;
  /** How many entries came, and how many of them are in the file. */
  #came = 0;
  #done = 0;
  /** The last line that is in the file. */
  #shownId = 0;
  #lost: { count: number; readonly since: number } | undefined;
  #running: Promise<void> | undefined;
  #onProgress: (() => void)[] = [];

  constructor(parts: AppLogParts) {
    this.#parts = parts;
    this.#files = new SegmentFiles(parts.folder, this.#writer);
  }

  /** A line of the platform. Never throws, never waits. */
  append(line: LogLine): void {
    if (this.#waiting.length >= WAITING_MAX) {
      this.#lost ??= { count: 0, since: this.#parts.clock.now() };
      this.#lost.count++;
      return;
    }
    for (const text of splitText(cleanText(line.text.toWellFormed()))) this.#push({ line: { ...line, text } });
  }

  /** A line that a dyno wrote; wait for `room` now and then. */
  carry(dynoId: string, process: string, carried: CarriedLine): void {
    const { at, micros, text, cursor } = carried;
    this.#push({ line: { at, micros, source: "app", process, text }, dynoId, cursor });
  }

  /** That `count` lines of a dyno were dropped by the host before they could be carried. */
  tellDropped(dynoId: string, process: string, count: number, cursor: Cursor): void {
    const text = `Error L12: ${count} messages of ${process} dropped: it wrote faster than they could be read.`;
    this.#push({ line: this.#ownLine(text), dynoId, cursor });
  }

  forget(dynoId: string): void {
    this.#push({ forget: dynoId });
  }

  /** How far the dyno's raw log was carried over. */
  async cursor(dynoId: string): Promise<Cursor | undefined> {
    await this.flushed();
    return this.#cursors.get(dynoId);
  }

  /** The dynos of which it has a cursor. */
  dynos(): readonly string[] {
    return [...this.#cursors.keys()];
  }

  /** Resolves at once unless too much waits. */
  async room(): Promise<void> {
    while (this.#waitingText > ROOM && !this.#stop.signal.aborted) await this.#progress();
  }

  /** Resolves once the log is open and all that was appended until now is in the file. */
  async flushed(): Promise<void> {
    const target = this.#came;
    while ((this.#nextId === undefined || this.#done < target) && !this.#stop.signal.aborted) {
      void this.#run();
      await this.#progress();
    }
  }

  /** The newest `lines` lines that match, oldest first; only those after `afterId`. */
  async history(lines: number, filter: LogFilter, afterId = 0): Promise<readonly StoredLine[]> {
    await this.flushed();
    const oldest = this.#parts.clock.now() - KEPT_MS;
    const found: StoredLine[] = [];
    let seen = 0;
    for await (const bytes of this.#files.newestFirst()) {
      for (let end = bytes.length - 1; end > 0; seen++) {
        const start = bytes.lastIndexOf(NEWLINE, end - 1) + 1;
        const line = lineOf(bytes.toString("utf8", start, end));
        end = start - 1;
        if (line && line.id <= afterId) return found.reverse();
        if (line && line.at >= oldest && matches(filter, line)) found.push(line);
        if (found.length >= Math.min(lines, LINES_KEPT) || seen > LOOKED_AT_MAX) return found.reverse();
        if (seen % 1_000 === 999) await new Promise(setImmediate);
      }
    }
    return found.reverse();
  }

  /** Lines as they come; with `afterId` first those after it that are still kept. Ends when the log is removed or closed. */
  async *tail(filter: LogFilter, afterId: number | undefined, signal: AbortSignal): AsyncGenerator<StoredLine> {
    await this.flushed();
    const tail = new Tail(filter, this.#parts.clock);
    const upTo = this.#shownId; // all up to there is in the file, all after it will be offered
    this.#tails.add(tail);
    try {
      const kept = afterId === undefined ? [] : await this.history(LINES_KEPT, filter, afterId);
      yield* kept.filter(({ id }) => id <= upTo);
      for (let lines = await tail.take(signal); lines; lines = await tail.take(signal)) yield* lines;
    } finally {
      this.#tails.delete(tail);
      tail.close();
    }
  }

  /** Deletes what is older than may be kept. */
  async expire(): Promise<void> {
    await this.flushed();
    const oldest = this.#parts.clock.now() - KEPT_MS;
    const [newest] = await this.history(1, {});
    if (!newest && this.#nextId !== undefined && this.#nextId > 1 && this.#waiting.length === 0) {
      await this.#exclusively(() => this.#startSegment());
    }
    await this.#exclusively(() => this.#files.expire(oldest));
  }

  /** Deletes the log, and ends its readers. */
  async remove(): Promise<void> {
    this.#waiting = [];
    await this[Symbol.asyncDispose]();
    await rm(this.#parts.folder, { recursive: true, force: true });
  }

  /** What waits is written, unless the disk refuses now. */
  async [Symbol.asyncDispose](): Promise<void> {
    const last = this.#waiting.length > 0 ? this.#run() : this.#running;
    this.#stop.abort();
    await last;
    for (const tail of this.#tails) tail.close();
    this.#progressed();
    await this.#files[Symbol.asyncDispose]();
  }

  #push(entry: Entry): void {
    if (this.#stop.signal.aborted) return;
    this.#waiting.push(entry);
    this.#came++;
    this.#waitingText += "line" in entry ? entry.line.text.length + OVERHEAD : 0;
    if (!this.#running) void this.#run();
  }

  /** Writes until nothing waits. Never rejects: what fails is tried again, until the log is closed. */
  #run(): Promise<void> {
    this.#running ??= this.#writeAll().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #writeAll(): Promise<void> {
    await new Promise(setImmediate); // what comes in this turn of the loop goes into one write
    await this.#untilDone("logs.open_failed", () => this.#open());
    while (this.#waiting.length > 0 && this.#nextId !== undefined) {
      const start = { nextId: this.#nextId, cursors: this.#cursors };
      let prefix: string | undefined;
      await this.#untilDone("logs.rotate_failed", async () => {
        prefix = await this.#files.prepare(() => start);
      });
      if (prefix === undefined) return;
      const { text, lines, taken } = this.#takeBatch(prefix);
      const bytes = Buffer.from(text, "utf8");
      const isWritten = await this.#untilDone("logs.write_failed", () => this.#files.append(bytes));
      if (!isWritten) return;
      this.#done += taken;
      this.#shownId = lines.at(-1)?.id ?? this.#shownId;
      for (const tail of this.#tails) for (const line of lines) tail.offer(line);
      this.#progressed();
    }
  }

  async #open(): Promise<void> {
    if (this.#nextId !== undefined) return;
    const { nextId, cursors } = await this.#files.open();
    for (const [dynoId, cursor] of cursors) this.#cursors.set(dynoId, cursor);
    this.#nextId = nextId;
    this.#shownId = nextId - 1;
    this.#progressed();
  }

  /** Takes what waits, up to a batch: its text for the file, and its lines for the readers. */
  #takeBatch(prefix: string): { readonly text: string; readonly lines: readonly StoredLine[]; readonly taken: number } {
    let text = prefix;
    let taken = 0;
    const lines: StoredLine[] = [];
    for (const entry of this.#waiting) {
      if (text.length > BATCH) break;
      taken++;
      if ("forget" in entry) {
        this.#cursors.delete(entry.forget);
        text += this.#writer.forget(entry.forget);
        continue;
      }
      const line = this.#stored(entry.line);
      text += this.#writer.line(line, entry.dynoId, entry.cursor);
      if (entry.dynoId !== undefined && entry.cursor) this.#cursors.set(entry.dynoId, entry.cursor);
      lines.push(line);
      this.#waitingText -= entry.line.text.length + OVERHEAD;
    }
    this.#waiting = this.#waiting.slice(taken);
    if (this.#lost && this.#waiting.length === 0) {
      const line = this.#stored(this.#lossLine(this.#lost));
      this.#lost = undefined;
      text += this.#writer.line(line, undefined, undefined);
      lines.push(line);
    }
    return { text, lines, taken };
  }

  #stored(line: LogLine): StoredLine {
    const id = this.#nextId ?? 1;
    this.#nextId = id + 1;
    return { ...line, id };
  }

  #lossLine({ count, since }: { readonly count: number; readonly since: number }): LogLine {
    return this.#ownLine(`Error L12: ${count} messages dropped since ${secondOf(since)}.`);
  }

  /** Of the way from dynos to here, in whose name Heroku tells it (spec 6.3). */
  #ownLine(text: string): LogLine {
    return { at: this.#parts.clock.now(), source: "app", process: "log-shuttle", text };
  }

  async #startSegment(): Promise<void> {
    const table = { nextId: this.#nextId ?? 1, cursors: this.#cursors };
    await this.#files.rotate(table.nextId);
    await this.#files.append(Buffer.from(this.#writer.table(table)));
  }

  /** Runs `body` while nothing is written. */
  async #exclusively(body: () => Promise<void>): Promise<void> {
    while (this.#running) await this.#running;
    this.#running = body().finally(() => {
      this.#running = undefined;
      if (this.#waiting.length > 0) void this.#run();
    });
    await this.#running;
  }

  /** Tries until it works (true) or the log is closed (false). */
  async #untilDone(event: string, body: () => Promise<void>): Promise<boolean> {
    for (let failures = 0; ; failures++) {
      try {
        await body();
        return true;
      } catch (error) {
        if (failures % 60 === 0) this.#parts.logger.error(event, { folder: this.#parts.folder, error });
        const isOpen = await this.#parts.clock.sleep(RETRY_MS, this.#stop.signal).then(
          () => true,
          () => false, // closed
        );
        if (!isOpen) return false;
      }
    }
  }

  #progress(): Promise<void> {
    return new Promise((resolve) => this.#onProgress.push(resolve));
  }

  #progressed(): void {
    const waiting = this.#onProgress;
    this.#onProgress = [];
    for (const resolve of waiting) resolve();
  }
}

const NEWLINE = 0x0a;
/** What a line weighs besides its text. */
const OVERHEAD = 50;
