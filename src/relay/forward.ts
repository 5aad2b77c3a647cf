import type { ClientRequest, IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream";
import { join } from "../lib/join.ts";
import type { Access, Verdict } from "./access.ts";
import type { ExecDoor } from "./exec-door.ts";
import { toClient, toPlatform } from "./headers.ts";
import { reasonOf, type Upstream } from "./upstream.ts";

export interface Way {
  readonly access: Access;
  readonly upstream: Upstream;
  /** Where the relay listens. */
  readonly port: number;
  readonly door: ExecDoor;
}

type Admitted = Exclude<Verdict, { readonly kind: "refused" }>;

/** Carries one request to the platform and its answer back, both as they come. */
export function forward(request: IncomingMessage, response: ServerResponse, admitted: Admitted, way: Way): void {
  const { hasBody, headers } = headOf(request, admitted, way);
  const method = request.method ?? "GET";
  const isRepeatable = !hasBody && (method === "GET" || method === "HEAD");
  const send = (again: boolean): void => {
    const outgoing = way.upstream.request(method, admitted.target, headers, isRepeatable && !again);
    let isAnswered = false;
    outgoing.once("response", (answer) => {
      isAnswered = true;
      response.writeHead(answer.statusCode ?? 502, toClient(answer.rawHeaders, answer.headers["content-length"]));
      response.flushHeaders(); // a log that says nothing yet is open all the same
      pipeline(answer, response, () => {}); // one that breaks ends the other
    });
    outgoing.on("error", (error: NodeJS.ErrnoException) => {
      request.unpipe(outgoing).resume(); // what nobody wants must not stand before the answer
      if (isAnswered || response.destroyed) return; // it refused what it did not read to its end
      if (outgoing.reusedSocket && isRepeatable && !again && error.code === "ECONNRESET") return send(true);
      refuse(response, 503, "service_unavailable", noAnswer(way.upstream, error));
    });
    response.once("close", () => outgoing.destroy());
    if (hasBody) request.pipe(outgoing);
    else outgoing.end();
  };
  send(false);
}

/** What the platform is asked; the frame of the body is the one that the parser found, whatever `Connection` names. */
function headOf(
  request: IncomingMessage,
  admitted: Admitted,
  { access, upstream, port, door }: Way,
): { readonly hasBody: boolean; readonly headers: string[] } {
  const length = request.headers["content-length"];
  const isChunked = request.headers["transfer-encoding"] !== undefined;
  const headers = toPlatform(request.rawHeaders, {
    Host: upstream.host,
    ...(admitted.kind === "owner" && { Authorization: upstream.authorization(admitted.user) }),
    "Stator-Relay": access.header(port, door.address),
    ...(isChunked ? { "Transfer-Encoding": "chunked" } : lengthOf(request.method, length)),
  });
  return { hasBody: isChunked || Number(length ?? "0") > 0, headers };
}

/** Said of a POST without a body too: Node would send one in chunks. */
function lengthOf(method: string | undefined, length: string | undefined): Readonly<Record<string, string>> {
  if (length !== undefined) return { "Content-Length": length };
  return method === "POST" || method === "PUT" || method === "PATCH" ? { "Content-Length": "0" } : {};
}

/** Protocols of the platform's that begin as HTTP: our own terminals. */
const UPGRADES = new Set(["stator-attach"]);

export function takesUpgrade(request: IncomingMessage): boolean {
  return UPGRADES.has((request.headers.upgrade ?? "").toLowerCase());
}

/** Joins the client with the platform once that has changed its protocol; else brings back what it says instead. */
export function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, admitted: Admitted, way: Way): void {
  const { headers } = headOf(request, admitted, way);
  const protocol = request.headers.upgrade ?? "";
  const outgoing: ClientRequest = way.upstream.request(
    request.method ?? "GET",
    admitted.target,
    [...headers, "Connection", "Upgrade", "Upgrade", protocol],
    false,
  );
  outgoing.once("upgrade", (answer, joined, first) => {
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\n${linesOf(answer)}Connection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`,
    );
    if (head.length > 0) joined.write(head);
    if (first.length > 0) socket.write(first);
    join(joined, socket);
  });
  outgoing.once("response", (answer) => {
    socket.write(`HTTP/1.1 ${answer.statusCode ?? 502} Refused\r\n${linesOf(answer)}Connection: close\r\n\r\n`);
    pipeline(answer, socket, () => {});
  });
  outgoing.once("error", (error) => socket.end(answerText(503, "service_unavailable", noAnswer(way.upstream, error))));
  socket.once("close", () => outgoing.destroy());
  outgoing.end();
}

function linesOf(answer: IncomingMessage): string {
  const all = toClient(answer.rawHeaders, undefined);
  return all.map((text, index) => (index % 2 === 0 ? `${text}: ` : `${text}\r\n`)).join("");
}

export function noAnswer({ origin }: Upstream, error: unknown): string {
  return `No answer from the platform at ${origin}: ${reasonOf(error)}.`;
}

/** An answer of the relay's own, in the API's words (platform-api 1.6). What more comes on this connection is not read. */
export function refuse(response: ServerResponse, status: number, id: string, message: string): void {
  const body = JSON.stringify({ id, message });
  response.writeHead(status, {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(body),
    ...(status === 401 && { "WWW-Authenticate": 'Basic realm="stator relay"' }),
    Connection: "close",
  });
  response.end(body);
}

/** The same for a socket that no response belongs to. */
export function answerText(status: number, id: string, message: string): string {
  const body = JSON.stringify({ id, message });
  return `HTTP/1.1 ${status} Refused\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`;
}
