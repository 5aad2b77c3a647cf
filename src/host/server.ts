import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex, Readable, Writable } from "node:stream";
import { Transform } from "node:stream";
import { finished, pipeline } from "node:stream/promises";
import { StringDecoder } from "node:string_decoder";
import { type ByteStream, type Engine, EngineError, type EngineErrorId, type StandbyOffers } from "../engine/engine.ts";
import type { Clock } from "../lib/clock.ts";
import { encodeFrame, firstFrame } from "../lib/frames.ts";
import type { Logger } from "../lib/logger.ts";
import type { Instance } from "../model/instance.ts";
import type { CertificateTarget, RouteTarget } from "../router/routes.ts";
import type { Door } from "../ssh/door.ts";
import {
  type CallMessages,
  type CallName,
  type ErrorMessage,
  type Event,
  EXEC_BYTES_MAX,
  EXEC_FRAME,
  EXPECTED,
  GIVEN,
  HINTS,
  INPUT_TAKEN,
  INSTANCE_HEADER,
  parseCall,
  parseExec,
  RefusedMessage,
  SLUG_BYTES_MAX,
  START_BYTES_MAX,
  STREAM_PROTOCOL,
  targetOf,
} from "./protocol.ts";

export interface HostServerOptions {
  readonly engine: Engine & StandbyOffers;
  readonly router: RouteTarget & CertificateTarget;
  readonly door: Door;
  readonly instance: Pick<Instance, "id">;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long a message may take to arrive (default 10 s). */
  readonly messageMs?: number;
}

const MESSAGE_MS = 10_000;
const CONNECTIONS_MAX = 512;
const ALIVE_MS = 5_000;
/** A reader of events that lags by more than this loses them; they are hints. */
const EVENTS_BYTES_MAX = 1024 * 1024;

const STATUS: Readonly<Record<EngineErrorId, number>> = {
  gone: 410,
  no_capacity: 507,
  invalid: 422,
  not_found: 404,
  unavailable: 503,
  failed: 500,
};

/**
 * Root's side of the protocol: checks every message, then calls the engine and the router. The caller listens on the socket
 * and closes. Whatever arrives, the worst that happens is an answer that says no.
 */
export function createHostServer(options: HostServerOptions): Server {
  const { logger } = options;
  const messageMs = options.messageMs ?? MESSAGE_MS;
  const server = createServer({
    maxHeaderSize: 4096,
    headersTimeout: messageMs,
    requestTimeout: 0, // slugs take their time; calls are timed where they are read
    keepAliveTimeout: 60_000,
    connectionsCheckingInterval: Math.min(1000, messageMs),
  });
  const hinting = new Set<Duplex>();
  const closeOthers = server.closeAllConnections.bind(server);
  server.closeAllConnections = () => {
    closeOthers();
    for (const socket of hinting) socket.destroy(); // Node no longer counts what was upgraded; streams end with their dynos
  };
  server.maxConnections = CONNECTIONS_MAX;
  const failed = (error: unknown) => refusalOf(error, logger);
  server.on("request", (request, response) => {
    answer(options, messageMs, request, response).catch((error: unknown) => {
      const { status, ...message } = failed(error);
      if (response.headersSent) response.destroy();
      else send(response, status, message, !request.complete);
    });
  });
  server.on("upgrade", (request, socket, head) => {
    if (request.url === HINTS) hinting.add(socket.once("close", () => hinting.delete(socket)));
    socket.on("error", () => {}); // it went; the streams end with it
    stream(options, request, socket, head).catch((error: unknown) => {
      const { status, ...message } = failed(error);
      const body = JSON.stringify(message);
      if (socket.writable)
        socket.end(
          `HTTP/1.1 ${status} Refused\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
        );
    });
  });
  server.on("clientError", (_error, socket) => {
    logger.warn("host.refused", { why: "not HTTP, too long, or too slow" });
    if (socket.writable) socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    else socket.destroy();
  });
  return server;
}

function refusalOf(error: unknown, logger: Logger): ErrorMessage & { readonly status: number } {
  if (error instanceof RefusedMessage) {
    logger.warn("host.refused", { why: error.message });
    return { id: "refused", status: error.status, message: error.message };
  }
  if (error instanceof EngineError) return { id: error.id, status: STATUS[error.id], message: error.message };
  logger.error("host.call_failed", { error });
  return { id: "failed", status: 500, message: "failed on the host's side; its log has the details" };
}

async function answer(
  options: HostServerOptions,
  messageMs: number,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const target = targetOf(request.method ?? "", request.url ?? "");
  checkInstance(options, request);
  switch (target.kind) {
    case "call": {
      const text = await readText(options.clock, request, target.bytesMax, messageMs);
      const result = await calls[target.name](options, parseCall(target.name, text) as never); // of the same name
      return send(response, 200, result ?? null);
    }
    case "slug": {
      await options.engine.putSlug(target.slug, limited(request, SLUG_BYTES_MAX));
      return send(response, 200, null);
    }
    case "events":
      return tell(options, response);
    case "hints":
    case "ssh":
    case "stream":
      throw new RefusedMessage(426, "a stream needs an upgrade");
  }
}

type Call<N extends CallName> = (options: HostServerOptions, message: CallMessages[N]) => Promise<unknown>;

const calls: { readonly [N in CallName]: Call<N> } = {
  list: ({ engine }, { appId }) => engine.list(appId),
  usage: ({ engine }, { tasksOf }) => engine.usage(tasksOf),
  start: ({ engine }, spec) => engine.start(spec),
  signal: ({ engine }, { id, signal }) => engine.signal(id, signal),
  remove: ({ engine }, { id }) => engine.remove(id),
  startMarks: ({ engine }, { id }) => engine.startMarks(id),
  resize: ({ engine }, { id, rows, columns }) => engine.resize(id, rows, columns),
  isolationRefusal: ({ engine }, { isolation }) => engine.isolationRefusal(isolation),
  hasSlug: ({ engine }, slug) => engine.hasSlug(slug),
  removeSlug: ({ engine }, slug) => engine.removeSlug(slug),
  removeApp: ({ engine }, { appId, uidIndex }) => engine.removeApp(appId, uidIndex),
  setEgress: ({ engine }, { appId, rules }) => engine.setEgress(appId, rules),
  trimLog: ({ engine }, { id, segment }) => engine.trimLog(id, segment),
  setRoute: ({ router }, route) => router.setRoute(route),
  removeRoute: ({ router }, { appId }) => router.removeRoute(appId),
  untilLeft: ({ router }, { appId }) => router.untilLeft(appId),
  isBusy: ({ router }, { appId }) => router.isBusy(appId),
  listRoutes: ({ router }) => router.listRoutes(),
  setCertificates: ({ router }, { appId, certificates }) => router.setCertificates(appId, certificates),
  listCertificates: ({ router }) => router.listCertificates(),
  certificateRefusal: ({ router }, { pem }) => router.certificateRefusal(pem),
  setChallenge: ({ router }, challenge) => router.setChallenge(challenge),
  removeChallenge: ({ router }, { host }) => router.removeChallenge(host),
  listChallenges: ({ router }) => router.listChallenges(),
  sshRefusal: ({ door }) => door.refusal(),
};

/** Bytes both ways, after `101`. */
async function stream(
  options: HostServerOptions,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const target = targetOf(request.method ?? "", request.url ?? "");
  checkInstance(options, request);
  if (
    (target.kind !== "stream" && target.kind !== "ssh" && target.kind !== "hints") ||
    request.headers.upgrade !== STREAM_PROTOCOL
  )
    throw new RefusedMessage(400, "not a stream");
  const switching = `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${STREAM_PROTOCOL}\r\n\r\n`;
  using waiting = silentUntilAnswered(socket);
  if (target.kind === "hints") {
    waiting.stop();
    socket.write(switching);
    if (head.length > 0) socket.unshift(head); // this one alone may speak before it is answered
    using _offers = options.engine.offerStandbys((id) => void socket.write(`${id}\n`));
    await readHints(options, socket);
    return;
  }
  if (target.kind === "ssh") {
    const client = await options.door.next(waiting.gone);
    waiting.stop();
    socket.write(switching);
    await Promise.all([carry(socket, client), carry(client, socket)]);
    return;
  }
  if (target.name === "exec") {
    waiting.stop();
    socket.write(switching);
    await exec(options, target.id, socket);
    return;
  }
  if (target.name === "input") {
    const input = await options.engine.input(target.id);
    waiting.stop();
    socket.write(switching);
    socket.once("close", () => input.destroy()); // the asker is gone
    await finished(socket.pipe(input), { readable: false }).catch(() => {}); // the dyno takes no more
    if (socket.writable) socket.end(INPUT_TAKEN);
    return;
  }
  const io = await options.engine.io(target.id, waiting.gone);
  try {
    waiting.stop();
    socket.write(switching);
    await Promise.all([carry(socket, io.writable), carry(io.readable, socket)]);
  } finally {
    io.close();
    socket.destroy();
  }
}

/** What is refused is told when it is asked for; those that come after it are others'. */
function hear(
  engine: Pick<Engine, "prepare" | "expectStart"> & Pick<StandbyOffers, "standbyGiven">,
  line: string,
  logger: Logger,
): void {
  if (line === EXPECTED) return engine.expectStart();
  if (line.startsWith(GIVEN)) return engine.standbyGiven(line.slice(GIVEN.length)); // of another one nothing is known
  try {
    engine.prepare(parseCall("start", line));
  } catch (error) {
    refusalOf(error, logger);
  }
}

/** One a line, until the other side leaves. Throws `RefusedMessage` for a line without end, and the connection ends. */
async function readHints({ engine, logger }: HostServerOptions, socket: Duplex): Promise<void> {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  try {
    for await (const bytes of socket as AsyncIterable<Buffer>) {
      const chunk = decoder.write(bytes);
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) hear(engine, line, logger);
      if (rest.length > START_BYTES_MAX) throw new RefusedMessage(413, `more than ${START_BYTES_MAX} bytes`);
    }
  } finally {
    socket.destroy();
  }
}

/** The process begins once it was said what it is, which may be longer than a request's line and headers. */
async function exec(options: HostServerOptions, id: string, socket: Duplex): Promise<void> {
  const { engine, clock, logger, messageMs = MESSAGE_MS } = options;
  const answer = (value: ErrorMessage | object) =>
    socket.write(encodeFrame(EXEC_FRAME.answer, Buffer.from(JSON.stringify(value))));
  const gone = new AbortController();
  socket.once("close", () => gone.abort());
  let stream: ByteStream;
  try {
    const request = parseExec(await requestFrame(socket, clock, messageMs));
    stream = await engine.exec(id, request, gone.signal);
  } catch (error) {
    const { status: _status, ...message } = refusalOf(error, logger);
    answer(message);
    socket.end(() => socket.destroy());
    return;
  }
  answer({});
  // The end of what comes is the end of the session: there is an end of input of its own among the frames.
  const left = new Promise<void>((resolve) => socket.once("end", resolve).once("close", resolve));
  const done = new AbortController();
  try {
    // How it ended stands last in what it gives: what was on its way to a process that had ended must not break that off.
    stream.writable.on("error", () => socket.resume());
    socket.on("error", () => {}); // told by its close
    socket.pipe(stream.writable);
    await Promise.race([carry(stream.readable, socket), left]);
    stream.close();
    socket.resume();
    // Nor may our end, before it was read: what is written to a closed socket takes with it what was not read of it.
    await Promise.race([left, clock.sleep(READ_MS, done.signal).catch(() => {})]);
  } finally {
    done.abort();
    stream.close();
    socket.destroy();
  }
}

/** Whoever asked for a process closes as soon as its end was read. */
const READ_MS = 5000;

/** Throws `RefusedMessage`. */
async function requestFrame(socket: Duplex, clock: Clock, ms: number): Promise<string> {
  const read = new AbortController();
  const late = clock.sleep(ms, read.signal).then(
    () => "late" as const,
    () => "late" as const, // it was read in time
  );
  try {
    const frame = await Promise.race([firstFrame(socket, EXEC_BYTES_MAX), late]);
    if (frame === "late") throw new RefusedMessage(408, "the message came too slowly");
    if (frame.type === EXEC_FRAME.request) return frame.body.toString("utf8");
  } catch (error) {
    if (error instanceof RefusedMessage) throw error;
  } finally {
    read.abort();
  }
  throw new RefusedMessage(400, "not a request, or a broken or too long one");
}

/** Until `stop`: `gone` is aborted when the other side leaves, or speaks before it was answered. */
function silentUntilAnswered(socket: Duplex): Disposable & { readonly gone: AbortSignal; stop(): void } {
  const gone = new AbortController();
  const leave = (): void => {
    gone.abort();
    socket.destroy();
  };
  for (const event of ["data", "end", "close"]) socket.on(event, leave);
  const stop = (): void => {
    socket.pause(); // what comes now waits for the next reader
    for (const event of ["data", "end", "close"]) socket.off(event, leave);
  };
  return { gone: gone.signal, stop, [Symbol.dispose]: stop };
}

/** One direction; a side that breaks ends both, and is no failure of ours. */
async function carry(from: Readable, to: Writable): Promise<void> {
  await pipeline(from, to).catch(() => {
    from.destroy();
    to.destroy();
  });
}

/** Changes and notices, one JSON object a line, until the reader goes. */
async function tell({ engine, clock }: HostServerOptions, response: ServerResponse): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  response.writeHead(200, { "Content-Type": "application/x-ndjson" });
  const write = (event: Event): void => {
    if (response.writableLength < EVENTS_BYTES_MAX) response.write(`${JSON.stringify(event)}\n`);
  };
  using _watch = engine.watch((dynoId) => write({ kind: "changed", dynoId: dynoId ?? null }));
  using _notices = engine.notices((notice) => write({ kind: "notice", notice }));
  write({ kind: "hello" });
  while (!gone.signal.aborted) {
    await clock.sleep(ALIVE_MS, gone.signal).catch(() => {}); // the reader went
    if (!gone.signal.aborted) write({ kind: "alive" });
  }
}

function checkInstance({ instance }: HostServerOptions, request: IncomingMessage): void {
  if (request.headers[INSTANCE_HEADER] !== instance.id) throw new RefusedMessage(421, "meant for another instance");
}

/** The whole content as text. Throws `RefusedMessage` when it is too long, takes too long or breaks off. */
function readText(clock: Clock, request: IncomingMessage, bytesMax: number, ms: number): Promise<string> {
  const read = new AbortController();
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const chunks: Buffer[] = [];
  let size = Number(request.headers["content-length"] ?? 0) > bytesMax ? Number.POSITIVE_INFINITY : 0;
  const tooLong = () => reject(new RefusedMessage(413, `more than ${bytesMax} bytes`));
  if (size > bytesMax) tooLong();
  request.on("data", (bytes: Buffer) => {
    size += bytes.length;
    if (size > bytesMax) tooLong();
    else chunks.push(bytes);
  });
  request.on("end", () => resolve(Buffer.concat(chunks).toString("utf8")));
  request.on("error", () => reject(new RefusedMessage(400, "the message broke off")));
  clock.sleep(ms, read.signal).then(
    () => reject(new RefusedMessage(408, "the message came too slowly")),
    () => {}, // it was read in time
  );
  return promise.finally(() => {
    read.abort();
    request.pause();
  });
}

/** The same bytes, failing past `bytesMax` and when the sender breaks off. */
function limited(request: IncomingMessage, bytesMax: number): Readable {
  let size = 0;
  const limit = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      size += chunk.length;
      if (size > bytesMax) done(new RefusedMessage(413, `more than ${bytesMax} bytes`));
      else done(null, chunk);
    },
  });
  request.once("close", () => {
    if (!request.complete) limit.destroy(new RefusedMessage(400, "the slug broke off"));
  });
  request.on("error", () => {}); // told by `close`
  limit.on("error", () => {}); // told to whoever reads it; the engine may not have begun to
  return request.pipe(limit);
}

/** `last`: not all of the request was read, so nothing more may come on this connection. */
function send(response: ServerResponse, status: number, value: unknown, last = false): void {
  const body = JSON.stringify(value);
  response.writeHead(status, {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(body),
    ...(last && { Connection: "close" }),
  });
  response.end(body);
}
