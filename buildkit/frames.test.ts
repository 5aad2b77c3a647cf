import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { FRAME_BYTES_MAX, FrameWriter, ProtocolError, readFrames } from "./frames.ts";

/** Two large frames and an empty one between. */
async function sent(payload: Buffer): Promise<Buffer> {
  const stream = new PassThrough({ highWaterMark: FRAME_BYTES_MAX });
  const writer = new FrameWriter(stream);
  await writer.send("slug", payload);
  await writer.send("slugEnd");
  await writer.send("text", payload);
  stream.end();
  return buffer(stream);
}

async function* cut(bytes: Buffer, step: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step);
}

test("frames come out as they went in, however the stream is cut, byte by byte too", async () => {
  const payload = Buffer.alloc(100_000, "0123456789");
  const bytes = await sent(payload);
  for (const step of [1, 4, 7, 65_536, bytes.length]) {
    const got = await Array.fromAsync(readFrames(cut(bytes, step)));
    assert.deepEqual(
      got.map(({ kind }) => kind),
      ["slug", "slugEnd", "text"],
    );
    assert.ok(got[0]?.payload.equals(payload) && got[1]?.payload.length === 0 && got[2]?.payload.equals(payload));
  }
});

test("what is no frame is refused", async () => {
  const bytes = await sent(Buffer.from("x"));
  await assert.rejects(Array.fromAsync(readFrames(cut(bytes.subarray(0, -1), 3))), ProtocolError);
  await assert.rejects(Array.fromAsync(readFrames(cut(Buffer.from([255, 0, 0, 0, 0]), 1))), /a frame of/);
  await assert.rejects(Array.fromAsync(readFrames(cut(Buffer.from([0, 0, 0, 0, 99]), 1))), /unknown kind 99/);
});
