import type { Instant } from "../lib/clock.ts";
import { type Cursor, isBefore, type OpenLine, type Place } from "./cursor.ts";
import type { RawRecord, RawStream } from "./raw-record.ts";
import { cutAt, LINE_BYTES_MAX, textOf } from "./text.ts";

/** A line, or a piece of a long one, and how far the raw log is carried over once it is in the app's log. */
export interface CarriedLine {
  readonly at: Instant;
  readonly micros: number;
  readonly text: string;
  readonly cursor: Cursor;
}

/**
 * Records of a raw log -> lines: joins the pieces of each stream, splits what is too long, and knows after each line from
 * where a reader could go on. Given the same records from such a place, it gives exactly the lines that follow.
 */
export class LineJoiner {
  #cursor: Cursor;
  readonly #streams: Readonly<Record<RawStream, Stream>>;
  readonly #emit: (line: CarriedLine) => void;

  constructor(cursor: Cursor, emit: (line: CarriedLine) => void) {
    this.#cursor = cursor;
    this.#emit = emit;
    this.#streams = { stdout: streamFrom(cursor, "stdout"), stderr: streamFrom(cursor, "stderr") };
  }

  get cursor(): Cursor {
    return this.#cursor;
  }

  /** `bytes` hold the record and begin at `base` in the segment; they may be changed afterwards. */
  take(record: RawRecord, bytes: Buffer, base: Place): void {
    const place = { segment: base.segment, offset: base.offset + record.start };
    const stream = this.#streams[record.stream];
    if (isBefore(place, stream.from)) return; // read again for the other stream's sake
    const skip = isBefore(stream.from, place) ? 0 : stream.skip;
    const content = bytes.subarray(record.contentStart + skip, record.contentEnd);
    this.#pass({ segment: base.segment, offset: base.offset + record.end }, record);
    if (!record.isPartial && stream.chunks.length === 0 && content.length <= LINE_BYTES_MAX) {
      return this.#line(record, content);
    }
    stream.chunks.push({ ...place, skip, bytes: Buffer.from(content) });
    stream.size += content.length;
    while (stream.size > LINE_BYTES_MAX) this.#piece(record, stream);
    if (!record.isPartial) this.#rest(record, stream);
    this.#cursor = { ...this.#cursor, open: this.#open() };
  }

  /**
   * The host dropped everything below `segment`, and `lines` in all since the dyno's start (0: unknown). Unfinished lines
   * end here. Gives how many lines were lost that the app's log does not tell of yet.
   */
  drop(segment: number, lines: number, at: Instant): number {
    this.finish(at);
    const { told, lines: taken } = this.#cursor;
    this.#cursor = { segment, offset: 0, lines: 0, told: Math.max(told, lines), open: [] };
    return Math.max(lines - told - taken, 0);
  }

  /** The dyno has ended: unfinished lines end here. */
  finish(at: Instant): void {
    for (const stream of Object.values(this.#streams)) {
      if (stream.chunks.length > 0) this.#rest({ at, micros: 0 }, stream);
    }
  }

  /** The place moves on, never back. */
  #pass(end: Place, record: RawRecord): void {
    const { segment, offset, lines } = this.#cursor;
    if (!isBefore({ segment, offset }, end)) return;
    const before = end.segment === segment ? lines : 0;
    this.#cursor = { ...this.#cursor, ...end, lines: record.isPartial ? before : before + 1 };
  }

  #piece(time: Time, stream: Stream): void {
    const bytes = Buffer.concat(stream.chunks.map((chunk) => chunk.bytes));
    const at = cutAt(bytes);
    dropBytes(stream, at);
    this.#line(time, bytes.subarray(0, at));
  }

  #rest(time: Time, stream: Stream): void {
    const bytes = Buffer.concat(stream.chunks.map((chunk) => chunk.bytes));
    clear(stream);
    this.#line(time, bytes);
  }

  #line({ at, micros }: Time, bytes: Buffer): void {
    const { stdout, stderr } = this.#streams;
    const isPlain = this.#cursor.open.length === 0 && stdout.chunks.length === 0 && stderr.chunks.length === 0;
    if (!isPlain) this.#cursor = { ...this.#cursor, open: this.#open() };
    this.#emit({ at, micros, text: textOf(bytes), cursor: this.#cursor });
  }

  #open(): readonly OpenLine[] {
    return STREAMS.flatMap((stream) => {
      const [first] = this.#streams[stream].chunks;
      return first ? [{ stream, segment: first.segment, offset: first.offset, skip: first.skip }] : [];
    });
  }
}

const STREAMS: readonly RawStream[] = ["stdout", "stderr"];

type Time = Pick<RawRecord, "at" | "micros">;

/** The unfinished line of a stream: what the app's log does not have of it. */
interface Stream {
  /** Records before this place were taken already. */
  readonly from: Place;
  /** Of the record at `from`, so many bytes of content were too. */
  readonly skip: number;
  chunks: Chunk[];
  size: number;
}

interface Chunk extends Place {
  readonly skip: number;
  readonly bytes: Buffer;
}

function streamFrom(cursor: Cursor, name: RawStream): Stream {
  const open = cursor.open.find(({ stream }) => stream === name);
  const { segment, offset } = open ?? cursor;
  return { from: { segment, offset }, skip: open?.skip ?? 0, chunks: [], size: 0 };
}

function clear(stream: Stream): void {
  stream.chunks = [];
  stream.size = 0;
}

function dropBytes(stream: Stream, count: number): void {
  stream.size -= count;
  let left = count;
  while (left > 0) {
    const chunk = stream.chunks.shift();
    if (!chunk) return;
    if (chunk.bytes.length > left) {
      stream.chunks.unshift({ ...chunk, skip: chunk.skip + left, bytes: chunk.bytes.subarray(left) });
    }
    left -= chunk.bytes.length;
  }
}
