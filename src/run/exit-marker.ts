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
    const from = beginningOfLine(all);
    this.#held = all.subarray(from);
    const whole = all.subarray(0, from);
    const line = whole.lastIndexOf(MARK);
    return line < 0 ? parts(whole) : parts(whole.subarray(0, line), whole.subarray(line));
  }

  /** The output has ended: what was held back. */
  rest(): readonly Uint8Array[] {
    return parts(this.#held);
  }
}

/** Where what could be the beginning of such a line is: after a mark, or within one; the length if nowhere. */
function beginningOfLine(bytes: Buffer): number {
  const mark = bytes.lastIndexOf(MARK);
  if (mark >= 0 && bytes.length - mark <= LINE_BYTES_MAX && !bytes.includes(LINE_FEED, mark)) return mark;
  for (let length = MARK.length - 1; length > 0; length--) {
    const from = bytes.length - length;
    if (from >= 0 && bytes.subarray(from).equals(MARK.subarray(0, length))) return from;
  }
  return bytes.length;
}

function parts(...all: readonly Buffer[]): readonly Uint8Array[] {
  return all.filter((part) => part.length > 0);
}
