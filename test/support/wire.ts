import { Agent, type IncomingHttpHeaders, type OutgoingHttpHeaders, type RequestOptions, request } from "node:http";
import type { Duplex } from "node:stream";

export interface WireAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** One connection to a server that is kept alive: thousands of requests cost little, and what one leaves behind meets the next. */
export class Wire implements Disposable {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #to: Readonly<Pick<RequestOptions, "host" | "port" | "socketPath">>;

  /** Of a port of this machine, or a socket's path. */
  constructor(to: number | string) {
    this.#to = typeof to === "number" ? { host: "127.0.0.1", port: to } : { socketPath: to };
  }

  /** Rejects when there is no whole answer in time. Headers replace what is sent by default. */
  send(
    method: string,
    path: string,
    headers: OutgoingHttpHeaders,
    body: string | Uint8Array | undefined,
    signal: AbortSignal,
  ): Promise<WireAnswer> {
    return new Promise((resolve, reject) => {
      const length = body === undefined ? {} : { "Content-Length": Buffer.byteLength(body) };
      const sent = request(
        {
          ...this.#to,
          agent: this.#agent,
          method,
          path,
          signal,
          headers: { ...length, ...headers },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.once("error", reject);
          response.once("end", () => {
            const { statusCode = 0, headers: received } = response;
            resolve({ status: statusCode, headers: received, text: Buffer.concat(chunks).toString("utf8") });
          });
        },
      );
      sent.once("error", reject);
      sent.end(body);
    });
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

/** Writes bytes to a connection, ends it, and gives all that comes back until the other side has ended too. */
export function exchange(socket: Duplex, bytes: string | Uint8Array): Promise<string> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("error", () => {}); // a reset is an end too
    socket.once("close", () => resolve(Buffer.concat(chunks).toString("latin1")));
    socket.end(bytes);
  });
}
