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

test("a frame that says it is larger than any may be is refused before it is waited for", () => {
  const head = encodeFrame(0, Buffer.alloc(0));
  head.writeUInt32BE(51, 1);
  assert.throws(() => new FrameReader(50).push(head), /a frame of/);
});
