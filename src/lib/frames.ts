import type { Duplex } from "node:stream";

/** A frame: one byte of type, four of length (big endian), and so many bytes. */
export interface Frame {
  readonly type: number;
  readonly body: Buffer;
}

const HEAD_BYTES = 5;

export function encodeFrame(type: number, body: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(HEAD_BYTES + body.length);
  frame.writeUInt8(type, 0);
  frame.writeUInt32BE(body.length, 1);
  frame.set(body, HEAD_BYTES);
  return frame;
}

/** Puts frames together from chunks cut anywhere. */
export class FrameReader {
  readonly #bytesMax: number;
  readonly #rest = new Gathered();

  /** `bytesMax`: more in one frame is a broken peer. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** What has come of frames that were not given yet. */
  get rest(): Buffer {
    return this.#rest.bytes;
  }

  /** The frames that are whole now. Throws for one that is too long. */
  push(chunk: Uint8Array): readonly Frame[] {
    const frames: Frame[] = [];
    for (let frame = this.first(chunk); frame !== undefined; frame = this.#take()) frames.push(frame);
    return frames;
  }

  /** The first of them alone; the others are its `rest`. */
  first(chunk: Uint8Array): Frame | undefined {
    this.#rest.add(chunk);
    return this.#take();
  }

  #take(): Frame | undefined {
    const { rest } = this;
    if (rest.length < HEAD_BYTES) return undefined;
    const length = rest.readUInt32BE(1);
    if (length > this.#bytesMax) throw new Error(`a frame of ${length} bytes`);
    const end = HEAD_BYTES + length;
    if (rest.length < end) return undefined;
    this.#rest.drop(end);
    return { type: rest.readUInt8(0), body: rest.subarray(HEAD_BYTES, end) };
  }
}

/** Bytes in the order they came. Its space doubles, so that gathering costs no more than the bytes do, however they are cut. */
class Gathered {
  #space: Buffer = Buffer.alloc(0);
  #length = 0;

  /** What is given away of them stays as it is: new bytes go behind it. */
  get bytes(): Buffer {
    return this.#space.subarray(0, this.#length);
  }

  add(chunk: Uint8Array): void {
    const length = this.#length + chunk.length;
    if (length > this.#space.length) {
      const space = Buffer.allocUnsafe(Math.max(length, 2 * this.#length));
      space.set(this.bytes);
      this.#space = space;
    }
    this.#space.set(chunk, this.#length);
    this.#length = length;
  }

  drop(count: number): void {
    this.#space = this.#space.subarray(count);
    this.#length -= count;
  }
}

/** The first frame of a stream, which then stands still with what came after it. Throws where there is none, or it is too long. */
export function firstFrame(stream: Duplex, bytesMax: number): Promise<Frame> {
  const reader = new FrameReader(bytesMax);
  const { promise, resolve, reject } = Promise.withResolvers<Frame>();
  const take = (chunk: Buffer): void => {
    try {
      const frame = reader.first(chunk);
      if (frame === undefined) return;
      stream.pause().off("data", take);
      if (reader.rest.length > 0) stream.unshift(reader.rest);
      resolve(frame);
    } catch (error) {
      reject(error as Error); // of our reader
    }
  };
  const leave = () => reject(new Error("the stream ended before its first frame"));
  for (const event of ENDS) stream.on(event, leave);
  stream.on("data", take).resume(); // it may stand still
  return promise.finally(() => {
    stream.off("data", take);
    for (const event of ENDS) stream.off(event, leave);
  });
}

const ENDS = ["end", "close", "error"];
