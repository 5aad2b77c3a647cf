import { type FileHandle, open, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Place } from "./cursor.ts";

/** What a look at a raw log gave. */
export type RawRead =
  /** Bytes from `place` on. `isLast`: no more will follow them in this segment, whole record or not. */
  | { readonly kind: "bytes"; readonly bytes: Buffer; readonly place: Place; readonly isLast: boolean }
  /** Unread segments below `segment` are gone; `lines` of the dyno were dropped in all since its start (0: unknown). */
  | { readonly kind: "dropped"; readonly segment: number; readonly lines: number }
  | { readonly kind: "idle" }
  /** The dyno has ended and all was read. */
  | { readonly kind: "end" };

/**
 * Reads a dyno's raw log over its rotations: segment n is `<id>.log.<n>`, or `<id>.log` while it is the newest. conmon may
 * write to a renamed file until it has opened the new one, so a segment is complete only once the next one has bytes.
 */
export class RawFile implements AsyncDisposable {
  readonly #folder: string;
  readonly #name: string;
  #place: Place;
  #file: OpenFile | undefined;

  constructor(folder: string, dynoId: string, place: Place) {
    this.#folder = folder;
    this.#name = `${dynoId}.log`;
    this.#place = { segment: place.segment, offset: place.offset };
  }

  get segment(): number {
    return this.#place.segment;
  }

  /** So many bytes of the last read were taken. */
  advance(bytes: number): void {
    this.#place = { segment: this.#place.segment, offset: this.#place.offset + bytes };
  }

  /** Reads into `buffer`. Bytes come up to the last line end, unless nothing follows or one record fills the buffer. */
  async read(buffer: Buffer, isEnded: () => boolean): Promise<RawRead> {
    for (;;) {
      const file = this.#file ?? (await this.#open());
      if (!file) return { kind: isEnded() ? "end" : "idle" };
      if ("kind" in file) {
        await this.#moveTo({ segment: file.segment, offset: 0 });
        return file;
      }
      const bytes = await this.#readAt(file.handle, buffer);
      if (bytes.includes(NEWLINE) || bytes.length === buffer.length) return this.#given(bytes, buffer);
      const state = await this.#look(file, isEnded());
      if (state === "growing") return { kind: "idle" };
      const again = await this.#readAt(file.handle, buffer); // what came before it was known to be complete
      if (again.length > 0)
        return { kind: "bytes", bytes: again, place: this.#place, isLast: !again.includes(NEWLINE) };
      if (state === "last") return { kind: "end" };
      if (state === "removed") return { kind: "end" };
      await this.#moveTo({ segment: this.#place.segment + 1, offset: 0 });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.handle.close();
  }

  #given(bytes: Buffer, buffer: Buffer): RawRead {
    const hasLine = bytes.includes(NEWLINE);
    return { kind: "bytes", bytes, place: this.#place, isLast: !hasLine && bytes.length === buffer.length };
  }

  async #readAt(handle: FileHandle, buffer: Buffer): Promise<Buffer> {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, this.#place.offset);
    return buffer.subarray(0, bytesRead);
  }

  async #moveTo(place: Place): Promise<void> {
    await this[Symbol.asyncDispose]();
    this.#place = place;
  }

  /** Opens the segment of our place; tells when it was dropped; undefined while there is none. */
  async #open(): Promise<OpenFile | Dropped | undefined> {
    const { segment } = this.#place;
    const renamed = await this.#openFile(`${this.#name}.${segment}`);
    if (renamed) return renamed;
    const dropped = await this.#dropped(segment);
    if (dropped) return dropped;
    const later = (await this.#segments()).find((each) => each > segment);
    if (later !== undefined) return { kind: "dropped", segment: later, lines: 0 }; // and nobody counted them
    const live = await this.#openFile(this.#name);
    if (!live) return undefined;
    if (!(await exists(this.#path(`${this.#name}.${segment}`)))) return live;
    await this[Symbol.asyncDispose](); // it was renamed between our looks: what we opened may be the next one
    return this.#openFile(`${this.#name}.${segment}`);
  }

  async #openFile(name: string): Promise<OpenFile | undefined> {
    const handle = await unlessMissing(open(this.#path(name), "r"));
    if (!handle) return undefined;
    this.#file = { handle, inode: (await handle.stat({ bigint: true })).ino };
    return this.#file;
  }

  /** What the end of our file means: more will come, the next segment follows, the dyno's last word, or it was deleted. */
  async #look(file: OpenFile, isEnded: boolean): Promise<"growing" | "next" | "last" | "removed"> {
    const live = await unlessMissing(stat(this.#path(this.#name), { bigint: true }));
    if (live?.ino === file.inode) return isEnded ? "last" : "growing";
    const { nlink } = await file.handle.stat();
    if (nlink === 0) return live || (await this.#segments()).length > 0 ? "next" : "removed";
    await this.#renumber(file.inode);
    const isFollowed =
      (live !== undefined && live.size > 0n) || (await exists(this.#path(`${this.#name}.${this.#place.segment + 1}`)));
    if (isFollowed) return "next";
    return isEnded ? "next" : "growing";
  }

  /** The number our file got when it was renamed is the truth, should we have thought of another. */
  async #renumber(inode: bigint): Promise<void> {
    const { segment, offset } = this.#place;
    const own = await unlessMissing(stat(this.#path(`${this.#name}.${segment}`), { bigint: true }));
    if (own?.ino === inode) return;
    for (const each of await this.#segments()) {
      const other = await unlessMissing(stat(this.#path(`${this.#name}.${each}`), { bigint: true }));
      if (other?.ino === inode) this.#place = { segment: each, offset };
    }
  }

  async #dropped(segment: number): Promise<Dropped | undefined> {
    const text = await unlessMissing(readFile(this.#path(`${this.#name}.dropped`), "utf8"));
    const dropped = text === undefined ? undefined : parseDropped(text);
    if (!dropped || dropped.segment < segment) return undefined;
    return { kind: "dropped", segment: dropped.segment + 1, lines: dropped.lines };
  }

  async #segments(): Promise<readonly number[]> {
    const prefix = `${this.#name}.`;
    return ((await unlessMissing(readdir(this.#folder))) ?? [])
      .filter((name) => name.startsWith(prefix) && /^\d{1,12}$/.test(name.slice(prefix.length)))
      .map((name) => Number(name.slice(prefix.length)))
      .sort((a, b) => a - b);
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }
}

interface OpenFile {
  readonly handle: FileHandle;
  readonly inode: bigint;
}

type Dropped = Extract<RawRead, { kind: "dropped" }>;

const NEWLINE = 0x0a;

/** `{"segment": 3, "bytes": 1, "lines": 2}`: all up to that segment are gone; half written it is as if it were not there yet. */
function parseDropped(text: string): { readonly segment: number; readonly lines: number } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || !("segment" in value) || !("lines" in value)) return undefined;
    const { segment, lines } = value;
    if (!Number.isSafeInteger(segment) || !Number.isSafeInteger(lines)) return undefined;
    return { segment: Number(segment), lines: Number(lines) };
  } catch {
    return undefined;
  }
}

async function exists(path: string): Promise<boolean> {
  return (await unlessMissing(stat(path))) !== undefined;
}

async function unlessMissing<T>(result: Promise<T>): Promise<T | undefined> {
  try {
    return await result;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}
