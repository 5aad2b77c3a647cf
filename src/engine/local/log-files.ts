import { closeSync, createReadStream, fchmodSync, openSync, statfsSync, statSync } from "node:fs";
import { chmod, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFifo } from "./fifo.ts";

export const SEGMENT_BYTES = 8 * 1024 * 1024;
/** Unread, for each dyno: a flood must not fill the host's disk. */
export const UNREAD_BYTES_MAX = 64 * 1024 * 1024;

/** What was thrown away unread, all in all; `segment` is the newest that is gone. In `<dynoId>.log.dropped`. */
export interface DroppedSegments {
  readonly segment: number;
  readonly bytes: number;
  readonly lines: number;
}

/** With less processor time nobody has written a segment: that takes ten times as much. */
const WRITERS_IDLE_MS = 2;

export interface LogFacts {
  /** Bytes that the disk of the folder has left. */
  readonly free?: () => number;
  /** Processor time that all who write logs have used, ms; undefined: nobody counts it. */
  readonly writersMs?: () => number | undefined;
}

const MODE = 0o640;

/**
 * Raw logs of dynos: conmon appends to `<dynoId>.log`; what grows too large is renamed to `<dynoId>.log.<n>`, n counting up
 * from 1, and stays until the reader is done with it. conmon's own limit would throw away what nobody has read (facts 5).
 */
export class LogFiles {
  readonly #folder: string;
  /** Keeps one number for each dyno, so that numbers never come again after a trim. */
  readonly #numberFile: (id: string) => string;

  readonly #free: () => number;
  readonly #writersMs: () => number | undefined;
  #seenFree = Number.POSITIVE_INFINITY;
  #seenWritersMs: number | undefined;

  constructor(
    folder: string,
    numberFile: (id: string) => string,
    { free = () => freeBytes(folder), writersMs = () => undefined }: LogFacts = {},
  ) {
    this.#folder = folder;
    this.#numberFile = numberFile;
    this.#free = free;
    this.#writersMs = writersMs;
  }

  /**
   * Whether the disk of the logs has taken in so much since `allSeen` that a log may have become a segment longer. A flood makes
   * it say yes, and so may whatever else writes there; without it nothing need be looked at several times a second. On file
   * systems that count late (btrfs) a flood is seen at the next look at all logs.
   */
  mayHaveFilled(): boolean {
    const free = this.#free();
    if (free > this.#seenFree) this.#seenFree = free; // something was deleted: what is written from now on counts all the same
    return this.#seenFree - free > SEGMENT_BYTES;
  }

  /** Whether who writes the logs has done anything worth a look since `allSeen`. */
  mayHaveGrown(): boolean {
    const [now, before] = [this.#writersMs(), this.#seenWritersMs];
    return now === undefined || before === undefined || now - before >= WRITERS_IDLE_MS;
  }

  /** All logs are looked at now, after this call. */
  allSeen(): void {
    this.#seenFree = this.#free();
    this.#seenWritersMs = this.#writersMs();
  }

  pathOf(id: string): string {
    return join(this.#folder, `${id}.log`);
  }

  /** Made before conmon opens it: the folder gives the daemon's group, and conmon keeps the mode. */
  create(id: string): void {
    const file = openSync(this.pathOf(id), "a", MODE); // at once: a start waits for it
    try {
      fchmodSync(file, MODE);
    } finally {
      closeSync(file);
    }
  }

  /** Begins a new segment if the current one is large enough; gives the bytes of the one that ended, else 0. */
  async rotate(id: string, controlFifo: string): Promise<number> {
    // Asked for each dyno several times a second: waiting for a thread to answer costs ten times as much as the answer.
    const { size } = statSync(this.pathOf(id));
    if (size < SEGMENT_BYTES) return 0;
    const number = (await this.#lastNumber(id)) + 1;
    await writeFile(this.#numberFile(id), String(number), { mode: 0o600 });
    await rename(this.pathOf(id), `${this.pathOf(id)}.${number}`);
    this.create(id);
    await writeFifo(controlFifo, "2 0 0\n"); // conmon opens the path again
    return size;
  }

  /** Drops the oldest segments beyond the allowance, and counts what they held. */
  async dropBeyondAllowance(id: string): Promise<void> {
    const numbers = await this.#segments(id);
    const sizes = await Promise.all(numbers.map(async (each) => (await stat(`${this.pathOf(id)}.${each}`)).size));
    let unread = sizes.reduce((sum, size) => sum + size, 0);
    for (const [at, number] of numbers.entries()) {
      if (unread <= UNREAD_BYTES_MAX - SEGMENT_BYTES) return; // room for the current one
      const size = sizes[at] ?? 0;
      await this.#drop(id, number, size);
      unread -= size;
    }
  }

  /** Deletes segments below `segment`. */
  async trim(id: string, segment: number): Promise<void> {
    for (const number of await this.#segments(id)) if (number < segment) await this.#delete(id, number);
  }

  /** Deletes everything of a dyno. */
  async remove(id: string): Promise<void> {
    const names = await readdir(this.#folder);
    for (const name of names)
      if (name === `${id}.log` || name.startsWith(`${id}.log.`)) await rm(join(this.#folder, name), { force: true });
  }

  /** Dynos that have any file here, with the time of the last change. */
  async list(): Promise<ReadonlyMap<string, number>> {
    const found = new Map<string, number>();
    for (const name of await readdir(this.#folder)) {
      const id = name.split(".log")[0] ?? "";
      const facts = await stat(join(this.#folder, name)).catch(() => undefined); // trimmed meanwhile
      if (facts) found.set(id, Math.max(found.get(id) ?? 0, facts.mtimeMs));
    }
    return found;
  }

  /** Counted first: a crash in between counts twice rather than never. */
  async #drop(id: string, segment: number, bytes: number): Promise<void> {
    const path = `${this.pathOf(id)}.dropped`;
    const text = await readFile(path, "utf8").catch(() => undefined); // nothing dropped yet
    const before = text === undefined ? { bytes: 0, lines: 0 } : (JSON.parse(text) as DroppedSegments);
    const lines = await countLines(`${this.pathOf(id)}.${segment}`);
    const dropped: DroppedSegments = { segment, bytes: before.bytes + bytes, lines: before.lines + lines };
    // The folder gives the group. Not flushed: this is in the way of a flood, and a power loss costs the count at most.
    await writeFile(`${path}.new`, JSON.stringify(dropped));
    await chmod(`${path}.new`, MODE);
    await rename(`${path}.new`, path);
    await this.#delete(id, segment);
  }

  async #delete(id: string, segment: number): Promise<void> {
    await rm(`${this.pathOf(id)}.${segment}`, { force: true });
  }

  async #lastNumber(id: string): Promise<number> {
    const kept = await readFile(this.#numberFile(id), "utf8").catch(() => "0"); // never rotated
    return Math.max(Number(kept), ...(await this.#segments(id)));
  }

  /** Numbers of the segments that are there, oldest first. */
  async #segments(id: string): Promise<readonly number[]> {
    const prefix = `${id}.log.`;
    return (await readdir(this.#folder))
      .filter((name) => name.startsWith(prefix))
      .map((name) => name.slice(prefix.length))
      .filter((rest) => /^[1-9]\d*$/.test(rest))
      .map(Number)
      .sort((one, other) => one - other);
  }
}

function freeBytes(folder: string): number {
  const { bfree, bsize } = statfsSync(folder);
  return bfree * bsize;
}

/** Lines that end in a segment: pieces of a long one are marked `P`, its last `F`. */
async function countLines(path: string): Promise<number> {
  const mark = Buffer.from(" F ");
  let lines = 0;
  let rest = Buffer.alloc(0);
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
    const bytes = Buffer.concat([rest, chunk as Buffer]); // a stream without an encoding gives Buffers
    let from = 0;
    for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10, from)) {
      if (bytes.subarray(from, Math.min(end, from + HEAD_BYTES)).includes(mark)) lines++;
      from = end + 1;
    }
    rest = bytes.subarray(from);
  }
  return lines;
}

/** `2026-11-23T19:14:45.381313654+00:00 stdout F ` */
const HEAD_BYTES = 45;
