import type { Socket } from "node:net";

/** What a client of the proxy asks for. */
export interface SocksTarget {
  readonly host: string;
  readonly port: number;
}

const VERSION = 5;
const CONNECT = 1;
const IPV4 = 1;
const NAME = 3;
const IPV6 = 4;
const REQUEST_BYTES_MAX = 512;

/** Reads a SOCKS 5 greeting (without authentication) and a CONNECT (RFC 1928). Throws for anything else. */
export async function readSocks(socket: Socket): Promise<SocksTarget> {
  const bytes = new Bytes(socket);
  const [version, methods = 0] = await bytes.take(2);
  if (version !== VERSION) throw new Error("That was no SOCKS 5 client.");
  await bytes.take(methods);
  socket.write(Buffer.of(VERSION, 0));
  const [, command, , kind] = await bytes.take(4);
  if (command !== CONNECT) throw refused(socket, 7, "Only connections are carried, no listeners and no datagrams.");
  const host = await hostOf(kind, bytes, socket);
  const port = (await bytes.take(2)).readUInt16BE(0);
  bytes.done();
  return { host, port };
}

/** Tells the client that it is connected. */
export function answerSocks(socket: Socket, isConnected: boolean): void {
  socket.write(Buffer.of(VERSION, isConnected ? 0 : 5, 0, IPV4, 0, 0, 0, 0, 0, 0));
}

async function hostOf(kind: number | undefined, bytes: Bytes, socket: Socket): Promise<string> {
  if (kind === IPV4) return [...(await bytes.take(4))].join(".");
  if (kind === IPV6) return ((await bytes.take(16)).toString("hex").match(/.{4}/g) ?? []).join(":");
  if (kind !== NAME) throw refused(socket, 8, "An address of a kind that is not known.");
  const [length = 0] = await bytes.take(1);
  return (await bytes.take(length)).toString("latin1");
}

function refused(socket: Socket, code: number, why: string): Error {
  socket.write(Buffer.of(VERSION, code, 0, IPV4, 0, 0, 0, 0, 0, 0));
  return new Error(why);
}

/** A socket's bytes, so many at a time; what was not taken is given back. */
class Bytes {
  readonly #socket: Socket;
  #rest: Buffer = Buffer.alloc(0);

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  async take(count: number): Promise<Buffer> {
    while (this.#rest.length < count) {
      const chunk: Buffer | null = this.#socket.read();
      if (chunk !== null) this.#rest = Buffer.concat([this.#rest, chunk]);
      else if (this.#socket.readableEnded) throw new Error("The client left.");
      else await readable(this.#socket);
      if (this.#rest.length > REQUEST_BYTES_MAX && this.#rest.length < count) throw new Error("A request without end.");
    }
    const taken = this.#rest.subarray(0, count);
    this.#rest = this.#rest.subarray(count);
    return taken;
  }

  done(): void {
    if (this.#rest.length > 0) this.#socket.unshift(this.#rest);
  }
}

function readable(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    const come = () => done();
    const leave = () => done(new Error("The client left."));
    function done(error?: Error): void {
      socket.off("readable", come).off("end", leave).off("close", leave);
      if (error) reject(error);
      else resolve();
    }
    socket.once("readable", come).once("end", leave).once("close", leave);
  });
}
