import { once } from "node:events";
import { createServer as createHttpServer, type IncomingHttpHeaders, type RequestListener } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { type KeyPair, makeAuthority, makeServerCertificate } from "../../src/host/certificates.ts";

/** Real servers that receive what drains and webhooks send. */
export interface Got {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface HttpReceiver extends AsyncDisposable {
  readonly port: number;
  readonly got: Got[];
  /** What the next requests are answered with, then 200; `hang`: never. */
  answers: ReceiverAnswer[];
  /** Instead, what these bodies are answered with. */
  answerTo: (body: string) => ReceiverAnswer | undefined;
}

export type ReceiverAnswer = number | "hang" | "break";

export interface SyslogReceiver extends AsyncDisposable {
  readonly port: number;
  /** Whole messages, as they were framed. */
  readonly messages: string[];
  /** Connections that there were. */
  connections: number;
  /** Ends those that there are. */
  hangUp(): void;
}

export interface Identity {
  readonly authority: KeyPair;
  readonly server: KeyPair;
}

/** An authority, and a certificate of it for these names. */
export async function identity(names: readonly string[]): Promise<Identity> {
  const authority = await makeAuthority("Receivers", Date.now());
  return { authority, server: await makeServerCertificate(authority, names, Date.now()) };
}

export async function httpReceiver(tls?: KeyPair, port = 0, host = LOOPBACK): Promise<HttpReceiver> {
  const got: Got[] = [];
  const listener: RequestListener = (request, response) => {
    const chunks: Buffer[] = [];
    request.on("error", () => {});
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { method = "", url: path = "", headers } = request;
      const body = Buffer.concat(chunks).toString();
      got.push({ method, path, headers, body });
      const answer = receiver.answerTo(body) ?? receiver.answers.shift() ?? 200;
      if (answer === "hang") return;
      if (answer === "break") request.socket.destroy();
      else response.writeHead(answer, answer === 302 ? { Location: "/elsewhere" } : {}).end("thanks");
    });
  };
  const server = tls
    ? createHttpsServer({ cert: tls.certificate, key: tls.key }, listener)
    : createHttpServer({}, listener);
  const receiver: HttpReceiver = {
    port: await listening(server, port, host),
    got,
    answers: [],
    answerTo: () => undefined,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
  return receiver;
}

export async function syslogReceiver(tls?: KeyPair, host = LOOPBACK): Promise<SyslogReceiver> {
  const sockets = new Set<Socket>();
  const connected = (socket: Socket) => {
    sockets.add(socket);
    receiver.connections++;
    let rest = Buffer.alloc(0);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    socket.on("data", (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      for (;;) {
        const blank = rest.indexOf(" ");
        const end = blank + 1 + Number(rest.toString("latin1", 0, Math.max(blank, 0)));
        if (blank < 0 || rest.length < end) return;
        receiver.messages.push(rest.toString("utf8", blank + 1, end));
        rest = rest.subarray(end);
      }
    });
  };
  const server = tls ? createTlsServer({ cert: tls.certificate, key: tls.key }, connected) : createTcpServer(connected);
  server.on("tlsClientError", () => {});
  const receiver: SyslogReceiver = {
    port: await listening(server, 0, host),
    messages: [],
    connections: 0,
    hangUp() {
      for (const socket of sockets) socket.destroy();
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      this.hangUp();
      await closed;
    },
  };
  return receiver;
}

/** Messages of a body of `application/logplex-1`. */
export function messagesOf(body: string): readonly string[] {
  const bytes = Buffer.from(body);
  const messages: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const blank = bytes.indexOf(" ", at);
    const end = blank + 1 + Number(bytes.toString("latin1", at, blank));
    messages.push(bytes.toString("utf8", blank + 1, end));
    at = end;
  }
  return messages;
}

const LOOPBACK = "127.0.0.1";

async function listening(server: Server, port: number, host: string): Promise<number> {
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  return (server.address() as AddressInfo).port; // it listens on a port
}
