import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import type { Clock } from "../lib/clock.ts";
import { tellApart } from "../lib/first-line.ts";
import { Access, type Verdict } from "./access.ts";
import { ExecDoor } from "./exec-door.ts";
import { answerText, forward, refuse, takesUpgrade, upgrade, type Way } from "./forward.ts";
import { carryRendezvous } from "./rendezvous.ts";
import { Upstream } from "./upstream.ts";

export interface RelayOptions {
  readonly platform: { readonly url: string; readonly token: string; readonly ca?: string | undefined };
  /** On 127.0.0.1; 0: any that is free. */
  readonly port: number;
  /** What clients must show instead of a token. */
  readonly secret: string;
  /** PEM of the relay's own certificate, for 127.0.0.1 and localhost, and its key. */
  readonly certificate: string;
  readonly key: string;
  /** Loopback address for SSH clients, at port 80. */
  readonly execAddress: string;
  /** Tests: another one. */
  readonly execPort?: number;
  readonly clock: Clock;
}

export interface Relay extends AsyncDisposable {
  readonly port: number;
  /** Why SSH clients cannot come in, in words for a person; null: they can. */
  readonly execRefusal: string | null;
  /** Resolves when its person asked it to stop (`DELETE /stator/relay`). */
  readonly askedToStop: Promise<void>;
}

/** The relay's own address: its person asks who it is, and tells it to stop. */
export const OWN_PATH = "/stator/relay";
/** Where the official CLI registers the key with which its SSH comes next. */
const KEY_PATH = /^\/api\/v2\//;
const CONNECTIONS_MAX = 512;

/**
 * Carries what the official CLI sends (API, git, logs, rendezvous) from this machine's loopback to one remote platform, with that
 * platform's token, which never leaves for anywhere else. TLS on this side too: another user of the machine who took the
 * port while no relay runs learns no secret.
 */
export async function startRelay(options: RelayOptions): Promise<Relay> {
  const { secret, clock, platform } = options;
  const upstream = new Upstream({ ...platform, clock });
  const stop = Promise.withResolvers<void>();
  const tls = createTlsServer({
    cert: options.certificate,
    key: options.key,
    ALPNProtocols: ["http/1.1"],
    minVersion: "TLSv1.2",
    handshakeTimeout: 10_000,
  });
  tls.maxConnections = CONNECTIONS_MAX;
  await listening(tls, options.port);
  const { port } = tls.address() as AddressInfo; // it listens on a port
  const access = new Access({ secret, ticket: randomBytes(32).toString("base64url"), port });
  const door = await ExecDoor.at(options.execAddress, upstream, options.execPort);
  const way: Way = { access, upstream, port, door };

  const http = createServer({ headersTimeout: 30_000, requestTimeout: 0, shouldUpgradeCallback: takesUpgrade });
  const take = (request: IncomingMessage, response: ServerResponse, awaitsLeave: boolean): void => {
    const verdict = judge(request, access);
    if (verdict.kind === "refused") return refuse(response, verdict.status, verdict.id, verdict.message);
    if (verdict.kind === "owner" && verdict.target === OWN_PATH) return answerOwn(request, response);
    if (verdict.kind === "owner" && KEY_PATH.test(verdict.target)) door.open();
    if (awaitsLeave) response.writeContinue();
    forward(request, response, verdict, way);
  };
  http.on("request", (request, response) => take(request, response, false));
  http.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => take(request, response, true));
  http.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on("error", () => socket.destroy());
    const verdict = judge(request, access);
    if (verdict.kind === "refused") socket.end(answerText(verdict.status, verdict.id, verdict.message));
    else upgrade(request, socket, head, verdict, way);
  });
  http.on("connect", (_request: IncomingMessage, socket: Duplex) => {
    socket.on("error", () => socket.destroy());
    socket.end(answerText(400, "bad_request", "This relay is no proxy: it leads to its platform alone."));
  });
  http.on("clientError", refuseUnreadable);

  function answerOwn(request: IncomingMessage, response: ServerResponse): void {
    if (request.method === "DELETE") stop.resolve();
    const body = JSON.stringify({ platform: upstream.origin, pid: process.pid, exec_address: door.address ?? null });
    response
      .writeHead(200, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) })
      .end(body);
  }

  const sockets = new Set<TLSSocket>();
  tls.on("tlsClientError", () => {}); // who does not trust our certificate is no client
  tls.on("secureConnection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    tellApart(socket, {
      clock,
      http: (each) => http.emit("connection", each),
      word: (line, each) => void carryRendezvous(line, each, way),
    });
  });
  return {
    port,
    execRefusal: door.refusal,
    askedToStop: stop.promise,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => tls.close(resolve));
      for (const socket of sockets) socket.destroy();
      await door[Symbol.asyncDispose]();
      upstream.close();
      await closed;
    },
  };
}

function judge(request: IncomingMessage, access: Access): Verdict {
  const { method = "", url = "", rawHeaders } = request;
  return access.judge({ method, target: url, rawHeaders });
}

/** What is no HTTP, or too much of it. */
function refuseUnreadable({ code }: NodeJS.ErrnoException, socket: Duplex): void {
  if (socket.writable && code !== "ECONNRESET") {
    const status = code === "HPE_HEADER_OVERFLOW" ? 431 : 400;
    socket.write(answerText(status, "bad_request", `This is no HTTP request that can be read: ${code}.`));
  }
  (socket as Socket).destroySoon(); // a server of HTTP has sockets alone
}

function listening(server: ReturnType<typeof createTlsServer>, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: "127.0.0.1", port }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}
