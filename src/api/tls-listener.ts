import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createSecureContext, createServer, type Server, type TLSSocket } from "node:tls";
import { isDeepStrictEqual } from "node:util";
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
  let pairs = await readPairs(options.home);
  let own = ownOf(pairs.own, options.logger);
  const server = createServer({
    ...pairs.api,
    // The operator's certificate for who asks for one of its names, ours for all others: 127.0.0.1 is always in ours.
    SNICallback: (name, done) => done(null, own?.certificate.checkHost(name) === undefined ? undefined : own.context),
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
      try {
        const now = await readPairs(options.home);
        if (isDeepStrictEqual(now, pairs)) continue;
        own = ownOf(now.own, options.logger);
        server.setSecureContext(now.api);
        pairs = now;
        options.logger.info("api.certificate_changed");
      } catch (error) {
        options.logger.warn("api.certificate_unreadable", { error });
      }
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

interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** The installation's own certificate, and the operator's where one was given (`host/tls.ts`). */
async function readPairs(home: string): Promise<{ readonly api: Pair; readonly own: Pair | undefined }> {
  const read = async (name: string): Promise<Pair> => {
    const file = (suffix: string) => readFile(join(home, "tls", `${name}.${suffix}`), "utf8");
    const [cert, key] = await Promise.all([file("pem"), file("key")]);
    return { cert, key };
  };
  const own = read("own").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  return { api: await read("api"), own: await own };
}

/** Undefined where there is none, or one that cannot be used: caught between its two files, it is read again when the other has come. */
function ownOf(pair: Pair | undefined, logger: Logger) {
  try {
    return pair && { certificate: new X509Certificate(pair.cert), context: createSecureContext(pair) };
  } catch (error) {
    logger.warn("api.own_certificate_unusable", { error });
    return undefined;
  }
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
