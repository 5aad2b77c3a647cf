import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/**
 * How HAProxy 2.6 keeps a ring in a file (`struct ring`, include/haproxy/ring-t.h; amd64 and arm64): this head, and then `size` bytes that
 * are written round and round. In them a zero byte, and then for each message its length, its text, a zero byte. `taken` is how much was
 * ever deleted at the old end, so `taken + held` is how much was ever written: the byte at position P of all that was ever written stands
 * at P modulo `size`. HAProxy changes the head without telling, but always deletes what it is about to write over first.
 */
const HEAD_BYTES = 72;
const SIZE_AT = 0;
const HELD_AT = 16;
const TAKEN_AT = 32;
/** HAProxy's own limit of a line is half of it (`maxlen`). */
const MESSAGE_BYTES_MAX = 32 * 1024;
/** Bytes that are taken at one look; more than any message has. */
export const LOOK_BYTES = 128 * 1024;
/** In a row, after which it is no chance that HAProxy was writing each time. */
const TRIES = 100;

export interface Look {
  /** Whole messages, in the order they were written. */
  readonly lines: readonly string[];
  readonly bytes: number;
  /** How many bytes were written over before we came. */
  readonly overrun: number;
}

/** Whatever is in the file, it is none of HAProxy's rings, or none of a version that we know. */
export class NotARing extends Error {}

/** What a ring is read from: a file, but in tests. */
export interface RingBytes extends Disposable {
  readonly inode: number;
  readonly length: number;
  /** How many there were. */
  read(into: Buffer, offset: number, bytes: number, at: number): number;
}

/** Throws if there is no such file. */
export function openRing(path: string): RingBytes {
  const fd = openSync(path, "r");
  const { ino, size } = fstatSync(fd);
  return {
    inode: ino,
    length: size,
    read: (into, offset, bytes, at) => readSync(fd, into, offset, bytes, at),
    [Symbol.dispose]: () => closeSync(fd),
  };
}

/** Reads the messages of a ring, once each. Only reads; HAProxy knows nothing of it. */
export class RequestRing implements Disposable {
  readonly #bytes: RingBytes;
  readonly #head = Buffer.allocUnsafe(HEAD_BYTES);
  readonly #buffer: Buffer;
  /** Of the zero byte before the next message. */
  #at = 0;

  /** `buffer` is for what is read, of `LOOK_BYTES`; rings may share one. `at`: where another reader of this file had come to. */
  constructor(bytes: RingBytes, buffer: Buffer, at?: { readonly inode: number; readonly position: number }) {
    this.#bytes = bytes;
    this.#buffer = buffer;
    if (at?.inode === bytes.inode) this.#at = at.position;
  }

  get inode(): number {
    return this.#bytes.inode;
  }

  /** Where the next look begins. */
  get position(): number {
    return this.#at;
  }

  [Symbol.dispose](): void {
    this.#bytes[Symbol.dispose]();
  }

  /** Goes past all that is in it now; for when nothing can be made of it. */
  skip(): void {
    this.#at = (this.#readHead()?.end ?? 1) - 1;
  }

  /** What has come since the last look, up to `LOOK_BYTES`. Throws `NotARing`. */
  look(): Look {
    const head = this.#readHead();
    if (head === undefined || head.end === 0) return NOTHING; // HAProxy has not begun
    const { size, taken, end } = head;
    const before = this.#at > end + size ? 0 : this.#at; // beyond: another ring than the one we were told of
    const at = Math.max(before, taken);
    const bytes = Math.min(end - at, LOOK_BYTES);
    if (bytes > 1) this.#readRound(at, bytes, size);
    // What HAProxy deleted meanwhile it may have written over.
    const since = bytes > 1 ? this.#readHead() : head;
    if (since === undefined) return NOTHING;
    const skipped = Math.max(0, since.taken - at);
    const lines: string[] = [];
    let from = skipped;
    for (;;) {
      const next = messageAt(this.#buffer, from, bytes);
      if (next === "none" && lines.length === 0) throw new NotARing("no message where one should be");
      if (next === "none" || next === "more") break;
      lines.push(this.#buffer.toString("latin1", next.start, next.end));
      from = next.end;
    }
    this.#at = at + from;
    return { lines, bytes: from - skipped, overrun: at + skipped - before };
  }

  /**
   * The head at one instant: read twice alike. `taken` only grows, and while it stays `held` does too, so both had these values at
   * once. `held` may then be in the middle of a message, which is left for the next look, or less already by one that `taken` is not
   * yet more by: then a part of what is there is left for the next look. undefined: it never stayed.
   */
  #readHead(): { readonly size: number; readonly taken: number; readonly end: number } | undefined {
    let [held, taken] = [-1, -1];
    for (let tries = 0; tries < TRIES; tries++) {
      if (this.#bytes.read(this.#head, 0, HEAD_BYTES, 0) < HEAD_BYTES) throw new NotARing("it is too short");
      const size = uint64(this.#head, SIZE_AT);
      const [heldNow, takenNow] = [uint64(this.#head, HELD_AT), uint64(this.#head, TAKEN_AT)];
      if (heldNow === held && takenNow === taken) {
        if (held === 0 && taken === 0) return { size, taken, end: 0 };
        const { length } = this.#bytes;
        const isRing = size === length - HEAD_BYTES && held > 0 && held <= size && Number.isSafeInteger(taken);
        if (!isRing) throw new NotARing(`size ${size} of ${length} bytes, ${held} held, ${taken} taken`);
        return { size, taken, end: taken + held };
      }
      [held, taken] = [heldNow, takenNow];
    }
    return undefined;
  }

  #readRound(at: number, bytes: number, size: number): void {
    const from = at % size;
    const first = Math.min(bytes, size - from);
    const got = this.#bytes.read(this.#buffer, 0, first, HEAD_BYTES + from);
    const rest = bytes - first;
    const gotRest = rest === 0 ? 0 : this.#bytes.read(this.#buffer, first, rest, HEAD_BYTES);
    if (got !== first || gotRest !== rest) throw new NotARing("it became shorter");
  }
}

const NOTHING: Look = { lines: [], bytes: 0, overrun: 0 };

/** The message behind the zero byte at `at`, up to the next one; or not all of it is within `end` bytes, or there can be none. */
function messageAt(
  bytes: Buffer,
  at: number,
  end: number,
): { readonly start: number; readonly end: number } | "more" | "none" {
  let next = at + 1;
  if (next >= end) return "more";
  let length = bytes[next++] ?? 0;
  if (length >= 0xf0) {
    // HAProxy's own encoding of numbers: 4 bits in the first byte, 7 in each other, all but the last with the highest bit set.
    for (let weight = 16; ; weight *= 128) {
      if (next >= end) return "more";
      const byte = bytes[next++] ?? 0;
      length += byte * weight;
      if (length > MESSAGE_BYTES_MAX) return "none";
      if (byte < 0x80) break;
    }
  }
  const stop = next + length;
  if (stop >= end) return "more";
  return bytes[at] === 0 && bytes[stop] === 0 ? { start: next, end: stop } : "none";
}

/** Exact up to 2^53, which is more than is ever written. */
function uint64(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 2 ** 32;
}
