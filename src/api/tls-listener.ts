import { readFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createServer, type Server, type TLSSocket } from "node:tls";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { ATTACH_SECRET } from "../run/secrets.ts";

export interface TlsOptions {
  readonly home: string;
  readonly host: string;
  readonly port: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A connection that speaks HTTP; nothing of it was read. */
  readonly http: (socket: TLSSocket) => void;
  /** A connection that began with what looks like an attach secret. */
  readonly rendezvous: (secret: string, socket: TLSSocket) => void;
}

/** A client that says nothing is not waited for. */
const FIRST_BYTES_MS = 15_000;
const FIRST_LINE_BYTES_MAX = 512;
const RELOAD_EVERY_MS = 10_000;

/** The TLS port: HTTP and rendezvous on the same socket, told apart by the first line (platform-api 3.1). */
export async function listenTls(options: TlsOptions): Promise<{ readonly port: number } & AsyncDisposable> {
  let context = await readContext(options.home);
  const server = createServer({
    ...context,
    ALPNProtocols: ["http/1.1"],
    minVersion: "TLSv1.2",
    handshakeTimeout: 10_000,
  });
  server.on("tlsClientError", () => {}); // strangers' broken handshakes are no event of ours
  server.on("secureConnection", (socket) => tellApart(socket, options));
  const sockets = tracked(server);
  await listening(server, options);
  const stop = new AbortController();
  const reloading = (async () => {
    while (
      await options.clock.sleep(RELOAD_EVERY_MS, stop.signal).then(
        () => true,
        () => false,
      )
    ) {
      const now = await readContext(options.home).catch((error: unknown) =>
        options.logger.warn("api.certificate_unreadable", { error }),
      );
      if (now === undefined || (now.cert === context.cert && now.key === context.key)) continue;
      server.setSecureContext(now);
      context = now;
      options.logger.info("api.certificate_changed");
    }
  })();
  return {
    port: (server.address() as AddressInfo).port, // it listens on a port
    async [Symbol.asyncDispose]() {
      stop.abort();
      await reloading;
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function readContext(home: string): Promise<{ readonly cert: string; readonly key: string }> {
  const [cert, key] = await Promise.all([
    readFile(join(home, "tls", "api.pem"), "utf8"),
    readFile(join(home, "tls", "api.key"), "utf8"),
  ]);
  return { cert, key };
}

function tracked(server: Server): ReadonlySet<TLSSocket> {
  const sockets = new Set<TLSSocket>();
  server.on("secureConnection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  return sockets;
}

function listening(server: Server, { host, port }: TlsOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** Reads no more than the first line. A secret has no blank in it, a request line always has. */
function tellApart(socket: TLSSocket, options: TlsOptions): void {
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
      return handOver(() => rendezvous(line.trimEnd(), seen.subarray(lineEnd + 1)));
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

  function rendezvous(line: string, rest: Buffer): void {
    const secret = line.split("?")[0] ?? "";
    socket.on("error", drop);
    if (!ATTACH_SECRET.test(secret)) {
      drop();
      return;
    }
    if (rest.length > 0) socket.unshift(rest);
    options.rendezvous(secret, socket);
  }
}
