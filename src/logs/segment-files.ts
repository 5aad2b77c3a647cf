import { type FileHandle, mkdir, open, readdir, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { lastTable, readTail, type SegmentWriter, type Table, type Tail } from "./segment.ts";

/** Bytes of a segment; after that the next one begins. */
const SEGMENT_BYTES = 4 * 1024 * 1024;
/** Lines that are kept for those who ask (spec 8.3), and for how long. */
export const LINES_KEPT = 1_500;
export const KEPT_MS = 7 * 24 * 3600 * 1000;
/** So often a table, which bounds what must be read at the start. */
const TABLE_BYTES = 256 * 1024;

/** The files of one app's log: `<id of the first line>.jsonl`, each written to its end, then never again. */
export class SegmentFiles implements AsyncDisposable {
  readonly #folder: string;
  readonly #writer: SegmentWriter;
  /** Id of the first line of each segment, oldest first; the last one is being written. */
  #firsts: number[] = [];
  #file: { readonly handle: FileHandle; size: number; sinceTable: number } | undefined;

  constructor(folder: string, writer: SegmentWriter) {
    this.#folder = folder;
    this.#writer = writer;
  }

  /** Finds where an earlier process stopped, and cuts off what it wrote by half. */
  async open(): Promise<Table> {
    await this[Symbol.asyncDispose]();
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    this.#firsts = (await readdir(this.#folder))
      .map((name) => /^(\d{1,15})\.jsonl$/.exec(name)?.[1])
      .filter((digits) => digits !== undefined)
      .map(Number)
      .sort((a, b) => a - b);
    for (;;) {
      const first = this.#firsts.at(-1);
      if (first === undefined) return { nextId: 1, cursors: new Map() };
      const tail = await this.#continue(first);
      if (tail) return tail;
      this.#firsts.pop(); // killed while it was made: it has no line
      await unlink(this.#path(first));
    }
  }

  /** What must stand before the next bytes: a table where a segment begins and now and then, else nothing. */
  async prepare(table: () => Table): Promise<string> {
    if (this.#file && this.#file.size < SEGMENT_BYTES) {
      if (this.#file.sinceTable < TABLE_BYTES) return "";
      this.#file.sinceTable = 0;
      return this.#writer.table(table());
    }
    const now = table();
    await this.rotate(now.nextId);
    return this.#writer.table(now);
  }

  /** Begins a new segment, and deletes those that nobody may ask for any more. */
  async rotate(nextId: number): Promise<void> {
    await this[Symbol.asyncDispose]();
    const handle = await open(this.#path(nextId), "w", 0o600);
    this.#file = { handle, size: 0, sinceTable: 0 };
    if (this.#firsts.at(-1) !== nextId) this.#firsts.push(nextId);
    while (nextId - (this.#firsts[1] ?? nextId) >= LINES_KEPT) await this.#deleteOldest();
  }

  /** Deletes finished segments whose last line was written before `instant`. */
  async expire(instant: number): Promise<void> {
    while (this.#firsts.length > 1) {
      const { mtimeMs } = await stat(this.#path(this.#firsts[0] ?? 0));
      if (mtimeMs >= instant) return;
      await this.#deleteOldest();
    }
  }

  /** Writes at the end. May be repeated with the same bytes after it failed. */
  async append(bytes: Buffer): Promise<void> {
    const file = this.#file;
    if (!file) throw new Error("no segment is open");
    let written = 0;
    while (written < bytes.length) {
      const { bytesWritten } = await file.handle.write(bytes, written, bytes.length - written, file.size + written);
      written += bytesWritten;
    }
    file.size += bytes.length;
    file.sinceTable += bytes.length;
  }

  /** The whole lines of each segment, newest first. */
  async *newestFirst(): AsyncGenerator<Buffer> {
    const size = this.#file?.size; // undefined between two segments: the newest is whole
    for (const [index, first] of this.#firsts.toReversed().entries()) {
      const bytes = await readWhole(this.#path(first), index === 0 ? size : undefined);
      if (bytes) yield bytes;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.handle.close();
  }

  async #continue(first: number): Promise<Tail | undefined> {
    const handle = await open(this.#path(first), "r+");
    const { size } = await handle.stat();
    const tail = await findTail(handle, size);
    if (!tail) {
      await handle.close();
      return undefined;
    }
    await handle.truncate(tail.bytes);
    this.#file = { handle, size: tail.bytes, sinceTable: TABLE_BYTES }; // the writer needs a table of its own
    return tail;
  }

  async #deleteOldest(): Promise<void> {
    const first = this.#firsts.shift();
    if (first !== undefined) await unlink(this.#path(first));
  }

  #path(first: number): string {
    return join(this.#folder, `${String(first).padStart(15, "0")}.jsonl`);
  }
}

/** Looks for the last table from the end of the file on, in steps. */
async function findTail(handle: FileHandle, size: number): Promise<Tail | undefined> {
  for (let length = 2 * TABLE_BYTES; ; length *= 4) {
    const from = Math.max(size - length, 0);
    const bytes = Buffer.alloc(size - from);
    await handle.read(bytes, 0, bytes.length, from);
    const at = lastTable(bytes, from === 0);
    const tail = at === undefined ? undefined : readTail(bytes.subarray(at));
    if (tail && at !== undefined) return { ...tail, bytes: from + at + tail.bytes };
    if (from === 0) return undefined;
  }
}

async function readWhole(path: string, size: number | undefined): Promise<Buffer | undefined> {
  try {
    await using handle = await open(path, "r");
    const bytes = Buffer.alloc(size ?? (await handle.stat()).size);
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0);
    return bytes.subarray(0, bytesRead);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined; // deleted meanwhile
    throw error;
  }
}
