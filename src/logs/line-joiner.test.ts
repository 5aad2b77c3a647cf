import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BEGINNING, type Cursor, cursorOf, isBefore, numbersOf, startOf } from "./cursor.ts";
import { type CarriedLine, LineJoiner } from "./line-joiner.ts";
import { RawParser, type RawStream } from "./raw-record.ts";
import { cutAt, LINE_BYTES_MAX } from "./text.ts";

interface Wrote {
  readonly stream: RawStream;
  readonly isPartial: boolean;
  readonly text: string;
}

const wrote: fc.Arbitrary<Wrote> = fc.record({
  stream: fc.constantFrom<RawStream>("stdout", "stderr"),
  isPartial: fc.boolean(),
  text: fc.oneof(
    fc.string({ unit: fc.constantFrom("a", "é", "€", "😀"), maxLength: 8 }),
    fc.integer({ min: 1, max: 12_000 }).map((length) => "xé€".repeat(length / 2)),
  ),
});
/** Several segments of a raw log. */
const segments = fc.array(fc.array(wrote, { maxLength: 8 }), { minLength: 1, maxLength: 4 });

function bytesOf(records: readonly Wrote[]): Buffer {
  const tag = ({ isPartial }: Wrote) => (isPartial ? "P" : "F");
  const text = (each: Wrote) => `2026-01-02T03:04:05.678901234+00:00 ${each.stream} ${tag(each)} ${each.text}\n`;
  return Buffer.from(records.map(text).join(""));
}

/** The lines that must come out, by a second and simpler way; a line is written where its last piece stands. */
function expected(all: readonly (readonly Wrote[])[]): readonly string[] {
  const lines: string[] = [];
  const rest: Record<RawStream, Buffer | undefined> = { stdout: undefined, stderr: undefined };
  for (const { stream, isPartial, text } of all.flat()) {
    let bytes = Buffer.concat([rest[stream] ?? Buffer.alloc(0), Buffer.from(text)]);
    while (bytes.length > LINE_BYTES_MAX) {
      lines.push(bytes.toString("utf8", 0, cutAt(bytes)));
      bytes = bytes.subarray(cutAt(bytes));
    }
    if (!isPartial) lines.push(bytes.toString("utf8"));
    rest[stream] = isPartial ? bytes : undefined;
  }
  for (const stream of ["stdout", "stderr"] as const) {
    const bytes = rest[stream];
    if (bytes !== undefined) lines.push(bytes.toString("utf8"));
  }
  return lines;
}

/** Reads from `cursor` on and is killed when `most` lines are written. */
function carry(
  all: readonly Buffer[],
  cursor: Cursor,
  most: number,
): { lines: readonly CarriedLine[]; isDone: boolean } {
  const lines: CarriedLine[] = [];
  class Killed extends Error {}
  const joiner = new LineJoiner(cursor, (line) => {
    if (lines.length >= most) throw new Killed();
    lines.push(line);
  });
  const start = startOf(cursor);
  try {
    for (let segment = start.segment; segment <= all.length; segment++) {
      const offset = segment === start.segment ? start.offset : 0;
      const bytes = Buffer.from(all[segment - 1] ?? "").subarray(offset);
      new RawParser().parse(bytes, false, (record) => joiner.take(record, bytes, { segment, offset }));
    }
    joiner.finish(0);
    return { lines, isDone: true };
  } catch (error) {
    if (!(error instanceof Killed)) throw error;
    return { lines, isDone: false };
  }
}

test("each line once and in order, whatever pieces it came in", () => {
  fc.assert(
    fc.property(segments, (all) => {
      const { lines } = carry(all.map(bytesOf), BEGINNING, Number.POSITIVE_INFINITY);
      assert.deepEqual(
        lines.map(({ text }) => text),
        expected(all),
      );
    }),
  );
});

test("each line once and in order, wherever it is killed", () => {
  fc.assert(
    fc.property(segments, fc.infiniteStream(fc.integer({ min: 1, max: 5 })), (all, steps) => {
      const raw = all.map(bytesOf);
      const texts: string[] = [];
      let cursor = BEGINNING;
      for (const most of steps) {
        const { lines, isDone } = carry(raw, cursor, most);
        texts.push(...lines.map(({ text }) => text));
        const last = lines.at(-1)?.cursor ?? cursor;
        assert.ok(!isBefore(last, cursor), "the place never goes back");
        cursor = cursorOf(numbersOf(last)) ?? BEGINNING; // as it is kept on disk
        if (isDone) break;
      }
      assert.deepEqual(texts, expected(all));
      const counted = all.at(-1)?.filter(({ isPartial }) => !isPartial).length;
      const { lines } = carry(raw, cursor, Number.POSITIVE_INFINITY);
      assert.deepEqual(lines, [], "and nothing again at the end");
      if (cursor.segment === all.length && cursor.offset === raw.at(-1)?.length) assert.equal(cursor.lines, counted);
    }),
    { numRuns: 300 },
  );
});

test("a line without end takes no more memory than a line may have, and its start is not lost", () => {
  const lines: CarriedLine[] = [];
  const joiner = new LineJoiner(BEGINNING, (line) => lines.push(line));
  const bytes = bytesOf([{ stream: "stdout", isPartial: true, text: "y".repeat(8_000) }]);
  for (let offset = 0; offset < 100 * bytes.length; offset += bytes.length) {
    new RawParser().parse(bytes, false, (record) => joiner.take(record, bytes, { segment: 1, offset }));
  }
  assert.deepEqual(
    lines.map(({ text }) => text.length),
    Array<number>(79).fill(LINE_BYTES_MAX),
  );
  assert.ok(joiner.cursor.offset - startOf(joiner.cursor).offset <= 3 * bytes.length);
});

test("what the host dropped is counted without what was carried over already, and once", () => {
  const lines: CarriedLine[] = [];
  const joiner = new LineJoiner(BEGINNING, (line) => lines.push(line));
  const records = Array.from({ length: 3 }, (): Wrote => ({ stream: "stdout", isPartial: false, text: "z" }));
  const bytes = bytesOf(records);
  new RawParser().parse(bytes, false, (record) => joiner.take(record, bytes, { segment: 1, offset: 0 }));
  assert.equal(joiner.drop(3, 10, 0), 7);
  assert.equal(joiner.drop(3, 10, 0), 0);
  assert.equal(joiner.drop(5, 14, 0), 4);
  assert.deepEqual(startOf(joiner.cursor), { ...BEGINNING, segment: 5, told: 14 });
});
