import type { Writable } from "node:stream";

/**
 * What the daemon and the driver in a build dyno say to each other: a length (4 bytes, big endian), a kind (1 byte), a
 * payload. Neither side trusts the other: sizes are bounded here, order and meaning are checked by the receiver.
 */
const KINDS = [
  // daemon to driver
  "job",
  "input",
  "inputEnd",
  "go",
  "say",
  "send",
  "verdict",
  // driver to daemon
  "git",
  "text",
  "build",
  "compiled",
  "failed",
  "slug",
  "slugEnd",
  "exit",
] as const;

export type FrameKind = (typeof KINDS)[number];

export interface Frame {
  readonly kind: FrameKind;
  readonly payload: Buffer;
}

export const FRAME_BYTES_MAX = 1024 * 1024;
/** Long data is cut into frames of this size. */
export const PIECE_BYTES = 64 * 1024;
const HEADER_BYTES = 5;

/** The other side broke the rules of the conversation. */
export class ProtocolError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "ProtocolError";
  }
}

/** Cuts a byte stream into frames; holds at most one frame and one chunk. Throws `ProtocolError` for what is no frame. */
export async function* readFrames(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Frame, void> {
  const rest = new Gathered();
  for await (const chunk of stream) {
    rest.add(chunk);
    while (rest.bytes.length >= HEADER_BYTES) {
      const { kind, length } = parseHeader(rest.bytes);
      const end = HEADER_BYTES + length;
      if (rest.bytes.length < end) break;
      const payload = rest.bytes.subarray(HEADER_BYTES, end);
      rest.drop(end);
      yield { kind, payload };
    }
  }
  if (rest.bytes.length > 0) throw new ProtocolError("the stream ended inside a frame");
}

/**
 * Bytes in the order they came. Its space doubles, so that gathering costs no more than the bytes do, however they are cut.
 * (`src/lib/frames.ts` has the same: build dynos have this folder alone, and lib imports nothing of ours.)
 */
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

function parseHeader(bytes: Buffer): { readonly kind: FrameKind; readonly length: number } {
  const length = bytes.readUInt32BE(0);
  if (length > FRAME_BYTES_MAX) throw new ProtocolError(`a frame of ${length} bytes`);
  const kind = KINDS[bytes[4] ?? KINDS.length];
  if (kind === undefined) throw new ProtocolError(`a frame of unknown kind ${bytes[4]}`);
  return { kind, length };
}

/** Writes frames; a call resolves when the stream can take more, and rejects once it is closed. */
export class FrameWriter {
  readonly #stream: Writable;

  constructor(stream: Writable) {
    this.#stream = stream;
  }

  /** Sends bytes in as many frames as they need; none for an empty payload of data. */
  async sendBytes(kind: FrameKind, bytes: Uint8Array | string): Promise<void> {
    const all = typeof bytes === "string" ? Buffer.from(bytes) : bytes;
    for (let at = 0; at < all.length; at += PIECE_BYTES) await this.send(kind, all.subarray(at, at + PIECE_BYTES));
  }

  sendJson(kind: FrameKind, value: unknown): Promise<void> {
    return this.send(kind, Buffer.from(JSON.stringify(value)));
  }

  async send(kind: FrameKind, payload: Uint8Array = Buffer.alloc(0)): Promise<void> {
    if (payload.length > FRAME_BYTES_MAX) throw new ProtocolError(`a frame of ${payload.length} bytes`);
    if (this.#stream.destroyed || this.#stream.writableEnded) throw new Error("the connection is closed");
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt32BE(payload.length, 0);
    header[4] = KINDS.indexOf(kind);
    const more = this.#stream.write(Buffer.concat([header, payload]));
    if (!more) await drained(this.#stream);
  }
}

/** Resolves when the stream can take more; rejects when it was closed instead. */
export function drained(stream: Writable): Promise<void> {
  return new Promise((resolve, reject) => {
    if (stream.destroyed) return reject(new Error("the connection is closed"));
    const settle = (error?: Error) => {
      stream.off("drain", drain).off("close", close).off("error", settle);
      if (error) reject(error);
      else resolve();
    };
    const drain = () => settle();
    const close = () => settle(new Error("the connection is closed"));
    stream.on("drain", drain).on("close", close).on("error", settle);
  });
}
