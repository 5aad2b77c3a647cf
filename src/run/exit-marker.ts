/** U+FFFF in UTF-8: with `-x` the official CLI makes the dyno print it, ` heroku-command-exit-status: `, and the status. */
const MARK = Buffer.from("\uFFFF");
/** Longer than that no such line is. */
const LINE_BYTES_MAX = 64;
const LINE_FEED = 10;

/**
 * Keeps the line with the exit status whole: that client looks for it in one chunk of what it reads (platform-api 3.1.7). What
 * could be the beginning of such a line is held back until the line is there.
 */
export class MarkerKeeper {
  #held: Buffer = Buffer.alloc(0);

  /** What may be written now, each part by itself. */
  push(chunk: Uint8Array): readonly Uint8Array[] {
    const all = this.#held.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#held, chunk]);
    const from = beginningOfMark(all);
    const isOpen = from < all.length && all.length - from <= LINE_BYTES_MAX && !all.includes(LINE_FEED, from);
    this.#held = isOpen ? all.subarray(from) : Buffer.alloc(0);
    if (isOpen) return parts(all.subarray(0, from));
    return parts(all.subarray(0, from), all.subarray(from));
  }

  /** The output has ended: what was held back. */
  rest(): readonly Uint8Array[] {
    return parts(this.#held);
  }
}

/** Where the last mark begins, whole or cut off by the end; the length if there is none. */
function beginningOfMark(bytes: Buffer): number {
  const whole = bytes.lastIndexOf(MARK);
  if (whole >= 0) return whole;
  for (let length = MARK.length - 1; length > 0; length--) {
    const from = bytes.length - length;
    if (from >= 0 && bytes.subarray(from).equals(MARK.subarray(0, length))) return from;
  }
  return bytes.length;
}

function parts(...all: readonly Buffer[]): readonly Uint8Array[] {
  return all.filter((part) => part.length > 0);
}
