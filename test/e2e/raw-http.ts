import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import type { RouterRig } from "./router-rig.ts";

/** A dyno of plain TCP: what reached it, byte for byte, and what it says is the test's own. */
export class RawDyno implements AsyncDisposable {
  readonly id: string;
  /** All that came, one text for each connection. */
  readonly received: string[] = [];
  readonly sockets: Socket[] = [];
  readonly #server: Server;

  private constructor(rig: RouterRig, name: string, server: Server) {
    this.#server = server;
    const { address, port } = server.address() as AddressInfo; // a TCP server has one
    this.id = rig.dynoAt(name, address, port);
  }

  /** `answer` is called with all that a connection has brought so far, each time more comes. */
  static async open(
    rig: RouterRig,
    answer: (text: string, socket: Socket) => void = answerEach,
    name = "web.1",
  ): Promise<RawDyno> {
    const server = createServer((socket) => {
      const index = dyno.received.push("") - 1;
      dyno.sockets.push(socket);
      socket.on("error", () => {}); // clients of these tests break off
      socket.on("data", (chunk: Buffer) => {
        dyno.received[index] += chunk.toString("latin1");
        answer(dyno.received[index] ?? "", socket);
      });
    });
    server.listen(0, `127.66.${1 + Math.floor(Math.random() * 250)}.${1 + Math.floor(Math.random() * 250)}`);
    await once(server, "listening");
    const dyno = new RawDyno(rig, name, server);
    return dyno;
  }

  /** Connections that brought anything; HAProxy also just looks whether a dyno accepts. */
  get texts(): readonly string[] {
    return this.received.filter((text) => text !== "");
  }

  /** Method and target of each request that a reader of HTTP would see. Bodies must have a length, or be chunked. */
  get requests(): readonly string[] {
    return this.texts.flatMap((text) => requestsIn(text).map(({ line }) => line.split(" ").slice(0, 2).join(" ")));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}

/** Reads requests strictly: what is left over at the end is given as one more, so that nothing can hide. */
export function requestsIn(
  text: string,
): readonly { readonly line: string; readonly head: string; readonly body: string }[] {
  const found = [];
  let rest = text;
  while (rest !== "") {
    const end = rest.indexOf("\r\n\r\n");
    if (end === -1) {
      found.push({ line: rest, head: rest, body: "" });
      break;
    }
    const head = rest.slice(0, end);
    rest = rest.slice(end + 4);
    const length = Number(/^content-length: *(\d+)$/im.exec(head)?.[1] ?? 0);
    let body = rest.slice(0, length);
    rest = rest.slice(length);
    if (/^transfer-encoding: *chunked$/im.test(head)) {
      const chunked = /^(?:[0-9a-f]+\r\n(?:[^]*?)\r\n)*?0\r\n(?:[^\r\n]+\r\n)*\r\n/i.exec(rest)?.[0] ?? rest;
      body = chunked;
      rest = rest.slice(chunked.length);
    }
    found.push({ line: head.slice(0, head.indexOf("\r\n")), head, body });
  }
  return found;
}

/** A 200 for each whole request without a body, or at once for what has one. */
export function answerEach(text: string, socket: Socket): void {
  if (text.endsWith("\r\n\r\n")) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

/** Matches no text: to wait for an end, or just a while. */
export const NOTHING = /(?!)/;

/** A client of plain TCP, or of TLS. */
export class RawClient {
  readonly socket: Socket;
  text = "";
  closed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => (this.text += chunk.toString("latin1")));
    socket.on("error", () => {}); // it is told by `closed`
    socket.on("close", () => (this.closed = true));
  }

  static async open({ layout }: RouterRig, tls?: { readonly servername: string }): Promise<RawClient> {
    const socket =
      tls === undefined
        ? connect(layout.httpPort, "127.0.0.1")
        : connectTls({ port: layout.httpsPort, host: "127.0.0.1", rejectUnauthorized: false, ...tls });
    const client = new RawClient(socket);
    await once(socket, tls === undefined ? "connect" : "secureConnect");
    return client;
  }

  send(text: string): this {
    this.socket.write(Buffer.from(text, "latin1"));
    return this;
  }

  /** Resolves with the text once it matches; also when the connection closes or the time is over. */
  async until(pattern: RegExp, timeoutMs = 5_000): Promise<string> {
    const end = performance.now() + timeoutMs;
    while (!pattern.test(this.text) && !this.closed && performance.now() < end) await pause(2);
    return this.text;
  }

  /** Resolves with all that came, once the other side closed. */
  async ended(timeoutMs = 10_000): Promise<string> {
    await this.until(NOTHING, timeoutMs);
    if (!this.closed) throw new Error(`still open after ${timeoutMs} ms; it said: ${this.text.slice(0, 500)}`);
    return this.text;
  }

  leave(): void {
    this.socket.destroy();
  }
}
