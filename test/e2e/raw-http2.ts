import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { connect, type TLSSocket } from "node:tls";
import type { RouterRig } from "./router-rig.ts";

/** Types of frames (RFC 9113, section 6). */
export const TYPE = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goAway: 7,
  window: 8,
  continuation: 9,
} as const;
export const FLAG = { none: 0, endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 32 } as const;
export const ERROR = {
  none: 0,
  protocol: 1,
  flowControl: 3,
  streamClosed: 5,
  frameSize: 6,
  compression: 9,
} as const;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** A client of HTTP/2 that says exactly what it is told, byte for byte, right or wrong. */
export class RawHttp2 {
  readonly socket: TLSSocket;
  readonly frames: Frame[] = [];
  closed = false;
  #rest: Buffer = Buffer.alloc(0);

  private constructor(socket: TLSSocket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => this.#take(chunk));
    socket.on("error", () => {}); // it is told by `closed`
    socket.on("close", () => (this.closed = true));
  }

  /** With the preface and empty settings sent, unless there is another opening. */
  static async open({ layout }: RouterRig, servername: string, opening?: Uint8Array): Promise<RawHttp2> {
    const socket = connect({
      port: layout.httpsPort,
      host: "127.0.0.1",
      rejectUnauthorized: false,
      servername,
      ALPNProtocols: ["h2"],
    });
    const client = new RawHttp2(socket);
    await once(socket, "secureConnect");
    socket.write(opening ?? Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    if (opening === undefined) client.send(frame(TYPE.settings, FLAG.none, 0, ""));
    return client;
  }

  send(...parts: readonly Uint8Array[]): this {
    for (const part of parts) this.socket.write(part);
    return this;
  }

  /** The first frame that fits, once it is there; undefined when the connection closed without, or after 3 s. */
  async frame(fits: (frame: Frame) => boolean): Promise<Frame | undefined> {
    const end = performance.now() + 3_000;
    for (;;) {
      const found = this.frames.find(fits);
      if (found !== undefined || this.closed || performance.now() > end) return found;
      await pause(2);
    }
  }

  leave(): void {
    this.socket.destroy();
  }

  #take(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= 9) {
      const end = 9 + this.#rest.readUIntBE(0, 3);
      if (this.#rest.length < end) return;
      const [type = 0, flags = 0] = this.#rest.subarray(3, 5);
      const stream = this.#rest.readUInt32BE(5);
      this.frames.push({ type, flags, stream, payload: this.#rest.subarray(9, end) });
      this.#rest = this.#rest.subarray(end);
    }
  }
}

export function frame(type: number, flags: number, stream: number, payload: Uint8Array | string): Buffer {
  const body = Buffer.from(payload as string, "latin1"); // of bytes: a copy
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, body]);
}

/** Header fields as they are, without Huffman or tables (RFC 7541, 6.2.2). */
export function fields(...list: readonly (readonly [name: string, value: string])[]): Buffer {
  return Buffer.concat(list.flatMap(([name, value]) => [Buffer.of(0), string(name), string(value)]));
}

function string(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  return Buffer.concat([integer(bytes.length), bytes]);
}

/** With a prefix of 7 bits (RFC 7541, 5.1). */
function integer(value: number): Buffer {
  if (value < 127) return Buffer.of(value);
  const bytes = [127];
  let rest = value - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

/** The status of an answer whose first field is in the static table, or said in full as a router does. */
export function statusOf({ payload }: Frame): string {
  const indexed: Record<number, string> = { 0x88: "200", 0x8c: "400", 0x8d: "404", 0x8e: "500" };
  return indexed[payload[0] ?? 0] ?? /\d{3}/.exec(payload.toString("latin1"))?.[0] ?? "?";
}
