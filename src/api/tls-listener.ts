import { readFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createServer, type Server, type TLSSocket } from "node:tls";
import type { Clock } from "../lib/clock.ts";
import { tellApart } from "../lib/first-line.ts";
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
  const { clock, http } = options;
  const word = (line: string, socket: TLSSocket) => rendezvous(line, socket, options);
  server.on("secureConnection", (socket) => tellApart(socket, { clock, http, word }));
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

function rendezvous(line: string, socket: TLSSocket, options: TlsOptions): void {
  const secret = line.split("?")[0] ?? "";
  if (ATTACH_SECRET.test(secret)) options.rendezvous(secret, socket);
  else socket.destroy();
}
