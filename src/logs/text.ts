import { isUtf8 } from "node:buffer";

/** Bytes of one line; longer ones are split (spec 8.1). */
export const LINE_BYTES_MAX = 10_000;

/** Where to cut `bytes`, which is longer than a line may be: at most `LINE_BYTES_MAX`, between characters if it is UTF-8. */
export function cutAt(bytes: Uint8Array): number {
  for (let at = LINE_BYTES_MAX; at > LINE_BYTES_MAX - 4; at--) {
    if (((bytes[at] ?? 0) & 0xc0) !== 0x80) return at;
  }
  return LINE_BYTES_MAX; // not UTF-8
}

/** What a dyno wrote, as text of a line: any bytes go in, no control characters but tabs and colours come out. */
export function textOf(bytes: Buffer): string {
  const text = bytes.toString("utf8");
  // A replaced byte takes three: the line must not grow past its limit by that.
  const isTooLong = bytes.length > LINE_BYTES_MAX / 3 && !isUtf8(bytes) && Buffer.byteLength(text) > LINE_BYTES_MAX;
  return cleanText(isTooLong ? text.replaceAll("\u{fffd}", "?") : text);
}

/** Without line ends and other control characters; tabs and colours (`ESC [ ... m`) stay. */
export function cleanText(text: string): string {
  return CONTROL.test(text) ? text.replace(UNWANTED, "") : text;
}

/** Splits a platform line's text in pieces that a line may have. */
export function splitText(text: string): readonly string[] {
  if (text.length <= LINE_BYTES_MAX / 3) return [text];
  const pieces: string[] = [];
  let rest = Buffer.from(text, "utf8");
  while (rest.length > LINE_BYTES_MAX) {
    const at = cutAt(rest);
    pieces.push(rest.toString("utf8", 0, at));
    rest = rest.subarray(at);
  }
  return [...pieces, rest.toString("utf8")];
}

// oxlint-disable-next-line no-control-regex
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f-\x9f]/;
// oxlint-disable-next-line no-control-regex
const UNWANTED = /[\x00-\x08\x0a-\x1a\x1c-\x1f\x7f-\x9f]|\x1b(?!\[[0-9;:]*m)/g;
