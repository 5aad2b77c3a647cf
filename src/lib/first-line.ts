import type { TLSSocket } from "node:tls";
import type { Clock } from "./clock.ts";

export interface FirstLineOptions {
  readonly clock: Clock;
  /** A connection that speaks HTTP; nothing of it was read. */
  readonly http: (socket: TLSSocket) => void;
  /** A connection that began with one word, which is not longer than 512 bytes; what follows was not read. */
  readonly word: (word: string, socket: TLSSocket) => void;
}

/** A client that says nothing is not waited for. */
const FIRST_BYTES_MS = 15_000;
const FIRST_LINE_BYTES_MAX = 512;

/**
 * HTTP and rendezvous on the same port, told apart by the first line (platform-api 3.1): an attach secret has no blank in it, a
 * request line always has. Reads no more than that line.
 */
export function tellApart(socket: TLSSocket, options: FirstLineOptions): void {
  let seen = Buffer.alloc(0);
  const drop = () => {
    socket.destroy();
  };
  socket.on("error", drop);
  const patience = new AbortController();
  options.clock.sleep(FIRST_BYTES_MS, patience.signal).then(drop, () => {}); // aborted: it spoke
  socket.once("close", () => patience.abort());
  socket.on("readable", look);

  function look(): void {
    const chunk = socket.read() as Buffer | null; // no encoding is set
    if (chunk === null) return;
    seen = Buffer.concat([seen, chunk]);
    const lineEnd = seen.indexOf("\n");
    const line = seen.subarray(0, lineEnd < 0 ? seen.length : lineEnd).toString("latin1");
    if (/^[\w?=&.-]*\r?$/.test(line) && line.length < FIRST_LINE_BYTES_MAX) {
      if (lineEnd < 0) return; // more is to come
      return handOver(() => {
        socket.on("error", drop);
        const rest = seen.subarray(lineEnd + 1);
        if (rest.length > 0) socket.unshift(rest);
        options.word(line.trimEnd(), socket);
      });
    }
    return handOver(() => {
      socket.unshift(seen);
      options.http(socket);
    });
  }

  function handOver(to: () => void): void {
    socket.off("readable", look);
    socket.off("error", drop);
    patience.abort();
    to();
  }
}
