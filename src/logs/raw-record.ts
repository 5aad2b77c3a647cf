import type { Instant } from "../lib/clock.ts";

/** One record of a raw log file (conmon's k8s-file format): `2026-01-02T03:04:05.678901234+00:00 stdout F text`. */
export interface RawRecord {
  /** Where the record begins and ends (after its line end) in the bytes given. */
  readonly start: number;
  readonly end: number;
  readonly stream: RawStream;
  /** A piece of a line that goes on in the next record of its stream. */
  readonly isPartial: boolean;
  readonly at: Instant;
  /** Microseconds below the millisecond. */
  readonly micros: number;
  readonly contentStart: number;
  readonly contentEnd: number;
}

export type RawStream = "stdout" | "stderr";

const NEWLINE = 0x0a;
const SPACE = 0x20;

/** Reads records out of bytes. Remembers the last time stamp, since the records of one write share it. */
export class RawParser {
  #stamp = Buffer.alloc(0);
  #time: { readonly at: Instant; readonly micros: number } = { at: 0, micros: 0 };

  /**
   * Every record of `bytes`; gives how many bytes they took. With `isLast` what follows the last line end is a record too.
   * Lines that are no records (a disk that was full cuts them) are left out.
   */
  parse(bytes: Buffer, isLast: boolean, take: (record: RawRecord) => void): number {
    let start = 0;
    while (start < bytes.length) {
      const newline = bytes.indexOf(NEWLINE, start);
      if (newline < 0 && !isLast) return start;
      const lineEnd = newline < 0 ? bytes.length : newline;
      const record = this.#record(bytes, start, lineEnd, newline < 0 ? lineEnd : lineEnd + 1);
      if (record) take(record);
      start = newline < 0 ? lineEnd : lineEnd + 1;
    }
    return start;
  }

  #record(bytes: Buffer, start: number, lineEnd: number, end: number): RawRecord | undefined {
    const stampEnd = bytes.indexOf(SPACE, start);
    if (stampEnd < 0 || stampEnd - start > 40 || !this.#readTime(bytes, start, stampEnd)) return undefined;
    const stream = streamAt(bytes, stampEnd + 1);
    const tag = stampEnd + 8; // both streams' names have six letters
    const isPartial = bytes[tag] === 0x50;
    if (!stream || bytes[tag - 1] !== SPACE || (!isPartial && bytes[tag] !== 0x46)) return undefined;
    if (tag >= lineEnd || (tag + 1 < lineEnd && bytes[tag + 1] !== SPACE)) return undefined;
    const contentStart = Math.min(tag + 2, lineEnd);
    return { start, end, stream, isPartial, ...this.#time, contentStart, contentEnd: lineEnd };
  }

  #readTime(bytes: Buffer, start: number, end: number): boolean {
    if (this.#isLastStamp(bytes, start, end)) return true;
    const match = STAMP.exec(bytes.toString("latin1", start, end));
    if (!match) return false;
    const fraction = (match[2] ?? "").padEnd(6, "0");
    const at = Date.parse(`${match[1]}.${fraction.slice(0, 3)}${match[3]}`);
    if (Number.isNaN(at)) return false;
    this.#stamp = Buffer.from(bytes.subarray(start, end));
    this.#time = { at, micros: Number(fraction.slice(3, 6)) };
    return true;
  }

  #isLastStamp(bytes: Buffer, start: number, end: number): boolean {
    const stamp = this.#stamp;
    if (stamp.length !== end - start) return false;
    for (let index = stamp.length - 1; index >= 0; index--) {
      if (stamp[index] !== bytes[start + index]) return false;
    }
    return true;
  }
}

const STAMP = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/;

function streamAt(bytes: Buffer, at: number): RawStream | undefined {
  const name = bytes.toString("latin1", at, at + 6);
  return name === "stdout" || name === "stderr" ? name : undefined;
}
