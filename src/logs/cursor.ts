import type { RawStream } from "./raw-record.ts";

/**
 * How far a dyno's raw log was carried over. It is part of each line of the app's log, so line and place are on disk or
 * lost together, and a killed daemon goes on exactly there.
 */
export interface Cursor {
  /** The raw file: 1 is the first, each rotation adds one. */
  readonly segment: number;
  /** Of the first record that was not taken. */
  readonly offset: number;
  /** Whole lines taken out of this segment. */
  readonly lines: number;
  /** Lines dropped by the host which the app's log tells of already. */
  readonly told: number;
  /** Lines whose end was not seen yet: at most one for each stream. */
  readonly open: readonly OpenLine[];
}

/** The part of an unfinished line that the app's log does not have yet begins here. */
export interface OpenLine {
  readonly stream: RawStream;
  readonly segment: number;
  /** Of a record. */
  readonly offset: number;
  /** So many bytes of that record's content are in the app's log already. */
  readonly skip: number;
}

export interface Place {
  readonly segment: number;
  readonly offset: number;
}

export const BEGINNING: Cursor = { segment: 1, offset: 0, lines: 0, told: 0, open: [] };

export function isBefore(a: Place, b: Place): boolean {
  return a.segment < b.segment || (a.segment === b.segment && a.offset < b.offset);
}

/** Where reading must begin to go on from `cursor`. */
export function startOf(cursor: Cursor): Place {
  return cursor.open.reduce<Place>((first, each) => (isBefore(each, first) ? each : first), cursor);
}

/** As numbers: segment, offset, lines, told, then four for each open line. */
export function numbersOf(cursor: Cursor): readonly number[] {
  const open = cursor.open.flatMap(({ stream, segment, offset, skip }) => [
    stream === "stdout" ? 1 : 2,
    segment,
    offset,
    skip,
  ]);
  return [cursor.segment, cursor.offset, cursor.lines, cursor.told, ...open];
}

/** The cursor of such numbers; undefined if they are none. */
export function cursorOf(numbers: readonly unknown[]): Cursor | undefined {
  if (numbers.length < 4 || numbers.length % 4 !== 0) return undefined;
  if (!numbers.every((each): each is number => Number.isSafeInteger(each) && Number(each) >= 0)) return undefined;
  const [segment = 1, offset = 0, lines = 0, told = 0, ...rest] = numbers;
  const open: OpenLine[] = [];
  for (let at = 0; at < rest.length; at += 4) {
    const [stream, openSegment = 1, openOffset = 0, skip = 0] = rest.slice(at, at + 4);
    open.push({ stream: stream === 1 ? "stdout" : "stderr", segment: openSegment, offset: openOffset, skip });
  }
  return { segment, offset, lines, told, open };
}
