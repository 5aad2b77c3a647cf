import type { StoredLine } from "./filter.ts";

/** Lines of one drain that wait (spec 8.4); of what is too much the oldest goes. */
export const DRAIN_LINES_MAX = 1_024;
/** Characters of one batch, so that a request has about the 100 kB that Heroku's have (spec 8.4). */
const BATCH_TEXT = 64 * 1024;
/** What a line weighs besides its text. */
const OVERHEAD = 80;

export interface Loss {
  readonly count: number;
  /** When the first of them was written. */
  readonly since: number;
}

export interface Batch {
  readonly lines: readonly StoredLine[];
  /** What was lost before these lines. */
  readonly loss: Loss | undefined;
}

/** What waits for one drain, at most so much, and how much was lost. A line's id tells what is missing before it. */
export class DrainBuffer {
  readonly #textMax: () => number;
  #lines: StoredLine[] = [];
  #text = 0;
  #lastId: number | null;
  #loss: Loss | undefined;

  /** `afterId`: the last line that is delivered; null: it is not known, so nothing is missing before the first. */
  constructor(afterId: number | null, textMax: () => number) {
    this.#lastId = afterId;
    this.#textMax = textMax;
  }

  get isFull(): boolean {
    return this.#lines.length >= DRAIN_LINES_MAX || this.#text >= this.#textMax();
  }

  push(line: StoredLine): void {
    const missing = this.#lastId === null ? 0 : line.id - this.#lastId - 1; // below 0: the log began anew
    if (missing > 0) this.lose({ count: missing, since: line.at });
    this.#lastId = line.id;
    this.#lines.push(line);
    this.#text += weightOf(line);
    while (this.#lines.length > DRAIN_LINES_MAX || (this.#text > this.#textMax() && this.#lines.length > 1)) {
      const oldest = this.#lines.shift();
      if (oldest === undefined) break;
      this.#text -= weightOf(oldest);
      this.lose({ count: 1, since: oldest.at });
    }
  }

  /** Counts what went no further. */
  lose({ count, since }: Loss): void {
    this.#loss = { count: count + (this.#loss?.count ?? 0), since: Math.min(since, this.#loss?.since ?? since) };
  }

  /** The oldest lines, as many as go into one request; undefined: none wait. */
  take(): Batch | undefined {
    if (this.#lines.length === 0) return undefined;
    let text = 0;
    const end = this.#lines.findIndex((line) => {
      text += weightOf(line);
      return text > BATCH_TEXT;
    });
    const lines = this.#lines.splice(0, end < 0 ? this.#lines.length : Math.max(end, 1));
    for (const line of lines) this.#text -= weightOf(line);
    const loss = this.#loss;
    this.#loss = undefined;
    return { lines, loss };
  }
}

function weightOf({ text, process }: StoredLine): number {
  return text.length + process.length + OVERHEAD;
}
