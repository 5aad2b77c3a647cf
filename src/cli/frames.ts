/**
 * The protocol `stator-attach` of an attached one-off: each frame is one byte of type, four bytes of length (big endian)
 * and so many bytes. To the server: 0 input, 1 resize `{rows, columns}`, 2 end of input. From it: 0 output, 3 exit `{status}`,
 * 5 standard error, 6 a connection is there.
 */
export const FRAME = { data: 0, resize: 1, endOfInput: 2, exit: 3, error: 5, begun: 6 } as const;
const HEAD = 5;
/** More in one frame is a broken peer. */
const FRAME_BYTES_MAX = 16 * 1024 * 1024;

export interface Frame {
  readonly type: number;
  readonly body: Buffer;
}

export function encodeFrame(type: number, body: Uint8Array | string = ""): Buffer {
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  const head = Buffer.alloc(HEAD);
  head.writeUInt8(type, 0);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

/** Puts frames together from chunks cut anywhere. */
export class FrameReader {
  #rest = Buffer.alloc(0);

  /** The frames that are whole now. Throws for a frame that cannot be. */
  push(chunk: Uint8Array): readonly Frame[] {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    const frames: Frame[] = [];
    for (;;) {
      if (this.#rest.length < HEAD) return frames;
      const size = this.#rest.readUInt32BE(1);
      if (size > FRAME_BYTES_MAX) throw new Error(`a frame of ${size} bytes`);
      if (this.#rest.length < HEAD + size) return frames;
      frames.push({ type: this.#rest.readUInt8(0), body: this.#rest.subarray(HEAD, HEAD + size) });
      this.#rest = this.#rest.subarray(HEAD + size);
    }
  }
}
