import assert from "node:assert/strict";
import { test } from "node:test";
import type { Cursor } from "./cursor.ts";
import { lastTable, lineOf, readTail, SegmentWriter } from "./segment.ts";

const CURSOR: Cursor = { segment: 2, offset: 70, lines: 3, told: 4, open: [] };
const OPEN: Cursor = { ...CURSOR, open: [{ stream: "stderr", segment: 1, offset: 9, skip: 5 }] };
const LINE = {
  id: 7,
  at: 1_700_000_000_000,
  micros: 12,
  source: "app",
  process: "web.1",
  text: 'é"\\ \u2028',
} as const;

test("what was written is read again: lines, places, and who was forgotten", () => {
  const writer = new SegmentWriter();
  const text = [
    writer.table({ nextId: 7, cursors: new Map([["old", CURSOR]]) }),
    writer.line(LINE, "new", OPEN),
    writer.line({ ...LINE, id: 8, source: "heroku" }, undefined, undefined),
    writer.line({ ...LINE, id: 9 }, "gone", CURSOR),
    writer.forget("gone"),
    writer.forget("never"),
  ].join("");
  const tail = readTail(Buffer.from(text));
  assert.equal(tail?.nextId, 10);
  assert.equal(tail?.bytes, Buffer.byteLength(text));
  assert.deepEqual(
    [...(tail?.cursors ?? [])],
    [
      ["old", CURSOR],
      ["new", OPEN],
    ],
  );
  const lines = text
    .split("\n")
    .map(lineOf)
    .filter((line) => line !== undefined);
  assert.deepEqual(lines, [LINE, { ...LINE, id: 8, source: "heroku" }, { ...LINE, id: 9 }]);
});

test("cut at any byte, all whole records before the cut are there and nothing else", () => {
  const writer = new SegmentWriter();
  const records = [
    writer.table({ nextId: 7, cursors: new Map() }),
    writer.line(LINE, "dyno", CURSOR),
    writer.line({ ...LINE, id: 8 }, "dyno", { ...CURSOR, offset: 99 }),
  ];
  const bytes = Buffer.from(records.join(""));
  for (let length = 0; length <= bytes.length; length++) {
    const tail = readTail(bytes.subarray(0, length));
    const whole = bytes.lastIndexOf(0x0a, length - 1) + 1;
    const count = length === 0 ? 0 : bytes.toString("utf8", 0, whole).split("\n[").length - 1;
    if (length < (records[0] ?? "").length) assert.equal(tail, undefined);
    else assert.deepEqual([tail?.bytes, tail?.nextId], [whole, 7 + count]);
  }
});

test("a text cannot pass for a record", () => {
  const writer = new SegmentWriter();
  const text = '\n{"first":1,"dynos":{}}\n[1,1,1,0,"a","b"]';
  const bytes = Buffer.from(
    writer.table({ nextId: 7, cursors: new Map() }) +
      writer.line({ ...LINE, text, process: text }, undefined, undefined),
  );
  assert.equal(lastTable(bytes, true), 0);
  assert.equal(readTail(bytes)?.nextId, 8);
});
