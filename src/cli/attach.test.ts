import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { secretOf } from "./attach.ts";
import { encodeFrame, FRAME, FrameReader } from "./frames.ts";

test("frames come out as they went in, wherever the bytes are cut", () => {
  const frames = fc.array(fc.record({ type: fc.nat(3), body: fc.uint8Array({ maxLength: 40 }) }), { maxLength: 8 });
  fc.assert(
    fc.property(frames, fc.integer({ min: 1, max: 17 }), (sent, size) => {
      const bytes = Buffer.concat(sent.map(({ type, body }) => encodeFrame(type, body)));
      const reader = new FrameReader();
      const got = [];
      for (let from = 0; from < bytes.length; from += size) got.push(...reader.push(bytes.subarray(from, from + size)));
      assert.deepEqual(
        got.map(({ type, body }) => ({ type, body: [...body] })),
        sent.map(({ type, body }) => ({ type, body: [...body] })),
      );
    }),
  );
});

test("a frame that cannot be is an error, not a wait for ever", () => {
  assert.throws(() => new FrameReader().push(Buffer.from([0, 0xff, 0xff, 0xff, 0xff])), /a frame of/);
});

test("a frame is one byte of type, four of length, the body", () => {
  assert.deepEqual([...encodeFrame(FRAME.resize, "{}")], [1, 0, 0, 0, 2, 0x7b, 0x7d]);
});

test("the secret is the path of attach_url", () => {
  assert.equal(secretOf("rendezvous://127.0.0.1:5443/abc-DEF_1"), "abc-DEF_1");
  assert.throws(() => secretOf(null));
});
