import type { Duplex } from "node:stream";
import { addAbortListener } from "../lib/abort.ts";
import type { Clock } from "../lib/clock.ts";

/** How long a client may take to close its side. */
const LINGER_MS = 5000;

/** What both protocols share: a socket that is written with regard to its reader, and known to be there or gone. */
export class SocketSide {
  readonly socket: Duplex;
  readonly #clock: Clock;
  readonly #gone = new AbortController();

  constructor(socket: Duplex, clock: Clock) {
    this.socket = socket;
    this.#clock = clock;
    socket.on("error", () => {}); // its close follows
    if (socket.destroyed) this.#gone.abort();
    else socket.once("close", () => this.#gone.abort());
    socket.once("end", () => this.#gone.abort()); // these clients close whole
  }

  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  write(chunk: Uint8Array | string): Promise<void> {
    const { socket } = this;
    if (this.gone.aborted || !socket.writable) return Promise.reject(new Error("the client has gone"));
    if (socket.write(chunk)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const listener = addAbortListener(this.gone, () => {
        socket.off("drain", drained);
        reject(new Error("the client has gone"));
      });
      socket.once("drain", drained);
      function drained(): void {
        listener[Symbol.dispose]();
        resolve();
      }
    });
  }

  /** Resolves once all was handed to the system, or the client has gone. */
  end(): Promise<void> {
    return new Promise((resolve) => {
      if (this.gone.aborted) return resolve();
      this.socket.once("close", resolve);
      this.socket.end(() => resolve());
    });
  }

  /**
   * What was written may still be on its way: a socket that is destroyed with input unread resets the connection, and the
   * client loses the end of the output. So its events must be read on until it closes, or its time is over.
   */
  close(): void {
    if (!this.socket.writableEnded) this.socket.destroy();
    else void this.#destroyLater();
  }

  async #destroyLater(): Promise<void> {
    await this.#clock.sleep(LINGER_MS, this.gone).catch(() => {}); // gone before
    this.socket.destroy();
  }

  /** Chunks as they come; an abrupt end is an end. Stops reading while the consumer is busy. */
  async *chunks(): AsyncGenerator<Buffer> {
    try {
      for await (const chunk of this.socket.iterator({ destroyOnReturn: false })) yield chunk as Buffer; // no encoding is set
    } catch (error) {
      if (!this.gone.aborted && !this.socket.destroyed) throw error;
    }
  }
}
