import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeFrame, FrameReader } from "./frames.ts";

test("frames come out as they went in, however the stream is cut", () => {
  const frames = fc.array(fc.tuple(fc.nat(255), fc.uint8Array({ maxLength: 50 })));
  fc.assert(
    fc.property(frames, fc.integer({ min: 1, max: 20 }), (sent, step) => {
      const stream = Buffer.concat(sent.map(([type, body]) => encodeFrame(type, body)));
      const reader = new FrameReader(50);
      const got = [];
      for (let at = 0; at < stream.length; at += step) got.push(...reader.push(stream.subarray(at, at + step)));
      assert.deepEqual(
        got.map(({ type, body }) => [type, Uint8Array.from(body)]),
        sent.map(([type, body]) => [type, Uint8Array.from(body)]),
      );
    }),
  );
});

test("a large frame may come byte by byte, and what was given stays as it was", () => {
  const body = Buffer.alloc(500_000, "0123456789");
  const stream = Buffer.concat([encodeFrame(1, body), encodeFrame(2, body)]);
  const reader = new FrameReader(body.length);
  const got = [];
  for (let at = 0; at < stream.length; at++) got.push(...reader.push(stream.subarray(at, at + 1)));
  assert.deepEqual(
    got.map(({ type }) => type),
    [1, 2],
  );
  assert.ok(got.every((frame) => frame.body.equals(body)));
});

test("a frame that says it is larger than any may be is refused before it is waited for", () => {
  const head = encodeFrame(0, Buffer.alloc(0));
  head.writeUInt32BE(51, 1);
  assert.throws(() => new FrameReader(50).push(head), /a frame of/);
});
