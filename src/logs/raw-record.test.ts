import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { RawParser } from "./raw-record.ts";

interface Seen {
  readonly at: number;
  readonly micros: number;
  readonly stream: string;
  readonly isPartial: boolean;
  readonly content: string;
}

function parse(bytes: Buffer, isLast = false): { readonly seen: readonly Seen[]; readonly taken: number } {
  const seen: Seen[] = [];
  const taken = new RawParser().parse(bytes, isLast, ({ at, micros, stream, isPartial, contentStart, contentEnd }) => {
    seen.push({ at, micros, stream, isPartial, content: bytes.toString("latin1", contentStart, contentEnd) });
  });
  return { seen, taken };
}

test("a record's time has microseconds, and its zone counts", () => {
  const bytes = Buffer.from(
    "2026-01-02T03:04:05.678901234+00:00 stdout F a b\n2026-01-02T05:04:05.5+02:00 stderr P \n2026-01-02T03:04:05Z stdout F\n",
  );
  const at = Date.UTC(2026, 0, 2, 3, 4, 5);
  assert.deepEqual(parse(bytes).seen, [
    { at: at + 678, micros: 901, stream: "stdout", isPartial: false, content: "a b" },
    { at: at + 500, micros: 0, stream: "stderr", isPartial: true, content: "" },
    { at, micros: 0, stream: "stdout", isPartial: false, content: "" },
  ]);
});

test("what is no record is left out and does not harm the next one", () => {
  const good = "2026-01-02T03:04:05.678901234+00:00 stdout F good\n";
  const bad = [
    "\n",
    "x\n",
    "2026-01-02T03:04:05.678901234+00:00 stdin F x\n",
    "2026-13-45T03:04:05.6+00:00 stdout F x\n",
  ];
  const worse = ["2026-01-02T03:04:05.678901234+00:00 stdout X x\n", "2026-01-02T03:04:05.678901234+00:00 stdout\n"];
  for (const each of [...bad, ...worse, `2026-01-02T03:04:05.6+00:00 stdout Fx\n`]) {
    assert.deepEqual(
      parse(Buffer.from(`${each}${good}`)).seen.map(({ content }) => content),
      ["good"],
      each,
    );
  }
});

test("a record without its end waits, unless it is known to be the last", () => {
  const bytes = Buffer.from("2026-01-02T03:04:05.6+00:00 stdout F one\n2026-01-02T03:04:05.6+00:00 stdout F tw");
  assert.deepEqual([parse(bytes).seen.length, parse(bytes).taken], [1, 41]);
  assert.deepEqual([parse(bytes, true).seen[1]?.content, parse(bytes, true).taken], ["tw", bytes.length]);
});

test("no bytes break the parser, and it takes whole lines only", () => {
  const piece = fc.oneof(
    fc.constant("2026-01-02T03:04:05.678901234+00:00 stdout F "),
    fc.constant(" stderr P "),
    fc.string({ unit: "binary", maxLength: 20 }),
    fc.constant("\n"),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      const bytes = Buffer.from(pieces.join(""), "latin1");
      const { taken } = parse(bytes);
      assert.equal(taken, bytes.lastIndexOf(0x0a) + 1);
      assert.equal(parse(bytes, true).taken, bytes.length);
    }),
  );
});
