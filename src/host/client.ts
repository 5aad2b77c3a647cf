import { Agent, type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { createInterface } from "node:readline";
import { type Duplex, type Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import {
  type ByteStream,
  type DynoSignal,
  type DynoSpec,
  type Engine,
  EngineError,
  type EngineNotice,
  type ExecRequest,
  type ObservedDyno,
  type SlugRef,
  type StartMarks,
} from "../engine/engine.ts";
import { addAbortListener, timeLimit } from "../lib/abort.ts";
import type { Clock } from "../lib/clock.ts";
import { encodeFrame, firstFrame } from "../lib/frames.ts";
import type { Logger } from "../lib/logger.ts";
import { UUID } from "../lib/uuid.ts";
import type { EgressRule } from "../model/egress-rule.ts";
import type { Instance } from "../model/instance.ts";
import type { Isolation } from "../model/isolation.ts";
import type { DynoUsage } from "../model/usage.ts";
import type { AppRoute, CertificateTarget, Challenge, RouteCertificate, RouteTarget } from "../router/routes.ts";
import type { Door } from "../ssh/door.ts";
import {
  type CallMessages,
  type CallName,
  type ErrorMessage,
  type Event,
  EXEC_FRAME,
  EXPECTED,
  GIVEN,
  HINTS,
  INSTANCE_HEADER,
  STREAM_PROTOCOL,
  TASKS_OF_MAX,
} from "./protocol.ts";

export interface HostClientOptions {
  readonly instance: Pick<Instance, "id"> & { readonly paths: Pick<Instance["paths"], "hostSocket"> };
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long a call waits for a host process that is away (default 5 s). */
  readonly patienceMs?: number;
  /** No call takes longer (default 2 minutes). */
  readonly callMs?: number;
  /** Nor does the making of a slug's image (default 6 minutes). */
  readonly slugMs?: number;
}

const RETRY_MS = 50;
const CALL_MS = 120_000;
/** Longer than the host process gives itself, whose words tell more. */
const SLUG_MS = 6 * 60_000;
/** Three of the server's signs of life missed. */
const SILENCE_MS = 16_000;
const SMALL_ANSWER_BYTES_MAX = 64 * 1024;
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;

/** A host process that lags by more than this is not told of more. */
const HINTS_BYTES_MAX = 1024 * 1024;

const HINTS_PAUSE_MS = 5_000;

const inputLost = () => new EngineError("unavailable", "the host process ended before all of the input was taken");

/**
 * The daemon's side of the protocol: an `Engine` and a `RouteTarget` whose work is done by the root process. While that is
 * away calls wait for it a few seconds, then throw `EngineError("unavailable")`; every call may be repeated, so one whose
 * answer was lost is asked again. Dispose of it to end the connection.
 */
export class HostClient implements Engine, RouteTarget, CertificateTarget, AsyncDisposable {
  readonly #options: HostClientOptions;
  readonly #agent: Agent;
  readonly #closed = new AbortController();
  readonly #watchers = new Set<(dynoId: string | undefined) => void>();
  readonly #listeners = new Set<(notice: EngineNotice) => void>();
  readonly #returns = new Set<() => void>();
  readonly #events: Promise<void>;
  #hints: Duplex | undefined;
  /** Of standbys that are ours as long as the stream of hints is there. */
  #standbyIds: string[] = [];

  constructor(options: HostClientOptions) {
    this.#options = options;
    this.#agent = new Agent({ keepAlive: true, maxSockets: 64, maxFreeSockets: 8 });
    this.#events = this.#followEvents();
  }

  list(appId?: string): Promise<readonly ObservedDyno[]> {
    return this.#call("list", appId === undefined ? {} : { appId });
  }
  startMarks(id: string): Promise<StartMarks | null> {
    return this.#call("startMarks", { id });
  }
  usage(tasksOf: readonly string[] = []): Promise<readonly DynoUsage[]> {
    return this.#call("usage", { tasksOf: tasksOf.slice(0, TASKS_OF_MAX) });
  }
  expectStart(): void {
    this.#hint(EXPECTED);
  }
  standbyId(): string | undefined {
    const id = this.#standbyIds.shift();
    if (id !== undefined) this.#hint(`${GIVEN}${id}`);
    return id;
  }
  /** Written at once, and read without an answer: a call takes longer than what it is to save. */
  prepare(spec: DynoSpec): void {
    this.#hint(JSON.stringify(spec));
  }
  start(spec: DynoSpec): Promise<void> {
    return this.#call("start", spec);
  }
  signal(id: string, signal: DynoSignal): Promise<void> {
    return this.#call("signal", { id, signal });
  }
  remove(id: string): Promise<void> {
    return this.#call("remove", { id });
  }
  resize(id: string, rows: number, columns: number): Promise<void> {
    return this.#call("resize", { id, rows, columns });
  }
  isolationRefusal(isolation: Isolation): Promise<string | null> {
    return this.#call("isolationRefusal", { isolation });
  }
  hasSlug({ digest, uidIndex }: SlugRef): Promise<boolean> {
    return this.#call("hasSlug", { digest, uidIndex });
  }
  removeSlug({ digest, uidIndex }: SlugRef): Promise<void> {
    return this.#call("removeSlug", { digest, uidIndex });
  }
  removeApp(appId: string, uidIndex: number): Promise<void> {
    return this.#call("removeApp", { appId, uidIndex });
  }
  setEgress(appId: string, rules: readonly EgressRule[]): Promise<void> {
    return this.#call("setEgress", { appId, rules: rules.map(({ action, cidr, port }) => ({ action, cidr, port })) });
  }
  trimLog(id: string, segment: number): Promise<void> {
    return this.#call("trimLog", { id, segment });
  }
  setRoute({ appId, hosts, state, dynoIds, options }: AppRoute): Promise<void> {
    return this.#call("setRoute", { appId, hosts, state, dynoIds, ...(options && { options }) });
  }
  removeRoute(appId: string): Promise<void> {
    return this.#call("removeRoute", { appId });
  }
  untilLeft(appId: string): Promise<void> {
    return this.#call("untilLeft", { appId });
  }
  isBusy(appId: string): Promise<boolean> {
    return this.#call("isBusy", { appId });
  }
  listRoutes(): Promise<readonly string[]> {
    return this.#call("listRoutes", {});
  }
  setCertificates(appId: string, certificates: readonly RouteCertificate[]): Promise<void> {
    return this.#call("setCertificates", {
      appId,
      certificates: certificates.map(({ hosts, pem }) => ({ hosts, pem })),
    });
  }
  listCertificates(): Promise<readonly { readonly appId: string; readonly digest: string }[]> {
    return this.#call("listCertificates", {});
  }
  certificateRefusal(pem: string): Promise<string | null> {
    return this.#call("certificateRefusal", { pem });
  }
  setChallenge({ host, token, keyAuthorization }: Challenge): Promise<void> {
    return this.#call("setChallenge", { host, token, keyAuthorization });
  }
  removeChallenge(host: string): Promise<void> {
    return this.#call("removeChallenge", { host });
  }
  listChallenges(): Promise<readonly string[]> {
    return this.#call("listChallenges", {});
  }

  /** Waits for the host process first; once bytes flow a failure is final, since the tar cannot be read again. */
  async putSlug({ digest, uidIndex }: SlugRef, tar: Readable): Promise<void> {
    await this.#call("listRoutes", {});
    const request = this.#request("PUT", `/slugs/${digest}/${uidIndex}`, { "Content-Type": "application/x-tar" });
    using _limit = this.#limit(request, this.#options.slugMs ?? SLUG_MS, "the slug's image was not made in time");
    const answer = answerOf(request);
    answer.catch(() => {}); // awaited below
    await pipeline(tar, request).catch((error: unknown) => {
      // The host may say no before it has read everything; what it says is better than "broken pipe".
      return answer.then(
        () => {},
        (refusal: unknown) => {
          throw refusal instanceof EngineError && refusal.id !== "unavailable" ? refusal : error;
        },
      );
    });
    await answer;
  }

  async input(id: string): Promise<Writable> {
    using limit = timeLimit(this.#options.callMs ?? CALL_MS, "no answer to input in time");
    const socket = await this.#stream(`/input/${id}`, AbortSignal.any([this.#closed.signal, limit.signal]));
    const input = new Writable({
      write: (chunk: Buffer, _encoding, done) => void socket.write(chunk, () => done()), // where that fails the close tells
      final: (done) => void socket.end(() => done()),
      destroy: (error, done) => {
        socket.destroy();
        done(error);
      },
      autoDestroy: false, // what ended is not what was taken
    });
    let isTaken = false;
    socket.on("error", () => {}); // its close follows
    socket.on("data", () => (isTaken = true)).once("end", () => socket.destroy());
    socket.once("close", () => input.destroy(isTaken || input.destroyed ? undefined : inputLost()));
    return input;
  }

  async io(id: string, signal: AbortSignal): Promise<ByteStream> {
    const socket = await this.#stream(`/io/${id}`, signal);
    return { readable: socket, writable: socket, close: () => socket.destroy() };
  }

  async exec(id: string, request: ExecRequest, signal: AbortSignal): Promise<ByteStream> {
    using limit = timeLimit(this.#options.callMs ?? CALL_MS, "no answer to exec in time");
    const socket = await this.#stream(`/exec/${id}`, AbortSignal.any([this.#closed.signal, limit.signal, signal]));
    socket.on("error", () => {}); // whoever holds the stream sees it end
    const { command, setting, env, terminal } = request;
    const window = terminal && { rows: terminal.rows, columns: terminal.columns };
    const text = JSON.stringify({ command, setting, env, terminal: window });
    socket.write(encodeFrame(EXEC_FRAME.request, Buffer.from(text)));
    using _givenUp = addAbortListener(signal, () => socket.destroy());
    try {
      await begun(socket);
    } catch (error) {
      socket.destroy();
      throw error;
    }
    return { readable: socket, writable: socket, close: () => socket.destroy() };
  }

  /** Where SSH clients come in. */
  readonly door: Door = {
    refusal: () => this.#call("sshRefusal", {}),
    next: (signal) => this.#stream("/ssh", AbortSignal.any([this.#closed.signal, signal])),
  };

  watch(listener: (dynoId: string | undefined) => void): Disposable {
    return added(this.#watchers, listener);
  }
  notices(listener: (notice: EngineNotice) => void): Disposable {
    return added(this.#listeners, listener);
  }
  /** Calls `listener` whenever the host process is there (again): what it was told before may be unknown to it. */
  onReturn(listener: () => void): Disposable {
    return added(this.#returns, listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort(new EngineError("unavailable", "the connection to the host process was closed"));
    this.#agent.destroy();
    this.#hints?.destroy();
    await this.#events;
  }

  async #call<T>(name: CallName, message: CallMessages[CallName]): Promise<T> {
    const body = JSON.stringify(message);
    return this.#patiently(async () => {
      const request = this.#request("POST", `/call/${name}`, {
        "Content-Type": "application/json",
        "Content-Length": String(Buffer.byteLength(body)),
      });
      using _limit = this.#limit(request, this.#options.callMs ?? CALL_MS, `no answer to ${name} in time`);
      const answer = answerOf(request);
      request.end(body);
      return JSON.parse(await answer) as T; // the server's own type of this call
    });
  }

  async #stream(path: string, signal: AbortSignal): Promise<Duplex> {
    return this.#patiently(() => {
      const request = this.#request("GET", path, { Connection: "Upgrade", Upgrade: STREAM_PROTOCOL });
      return new Promise<Duplex>((resolve, reject) => {
        const listening = addAbortListener(signal, () => request.destroy(new Error("given up")));
        request.once("upgrade", (_response, socket, head) => {
          listening[Symbol.dispose]();
          if (head.length > 0) socket.unshift(head);
          resolve(socket);
        });
        answerOf(request)
          .then(() => reject(new EngineError("failed", "the host process refused the stream")), reject)
          .finally(() => listening[Symbol.dispose]());
        request.end();
      });
    }, signal);
  }

  /** Gives the request up after `ms`, or when this client is closed. */
  #limit(request: ClientRequest, ms: number, late: string): Disposable {
    const limit = new DisposableStack();
    const over = limit.use(timeLimit(ms, late));
    limit.use(addAbortListener(over.signal, () => giveUp(request, late)));
    limit.use(addAbortListener(this.#closed.signal, () => giveUp(request, "closed")));
    return limit;
  }

  #request(method: string, path: string, headers: Record<string, string>): ClientRequest {
    const { instance } = this.#options;
    return httpRequest({
      socketPath: instance.paths.hostSocket,
      method,
      path,
      headers: { Host: "host", [INSTANCE_HEADER]: instance.id, ...headers },
      ...(headers["Connection"] === undefined ? { agent: this.#agent } : { agent: false }),
    });
  }

  /** Asks again while the host process is away, for as long as patience lasts. */
  async #patiently<T>(ask: () => Promise<T>, signal: AbortSignal = this.#closed.signal): Promise<T> {
    const { clock, patienceMs = 5_000 } = this.#options;
    const until = clock.now() + patienceMs;
    for (;;) {
      signal.throwIfAborted();
      this.#closed.signal.throwIfAborted();
      try {
        return await ask();
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof EngineError) || error.id !== "unavailable" || clock.now() >= until) throw error;
      }
      await clock.sleep(RETRY_MS, this.#closed.signal);
    }
  }

  async #followEvents(): Promise<void> {
    const { clock, logger } = this.#options;
    const closed = this.#closed.signal;
    let lost = false;
    while (!closed.aborted) {
      try {
        await this.#readEvents();
      } catch (error) {
        if (!lost && !closed.aborted) logger.warn("host.lost", { error });
        lost = true;
      }
      await clock.sleep(RETRY_MS, closed).catch(() => {}); // closed
      if (this.#connected) lost = this.#connected = false;
    }
  }
  #connected = false;

  #hint(line: string): void {
    if ((this.#hints?.writableLength ?? 0) < HINTS_BYTES_MAX) this.#hints?.write(`${line}\n`);
  }

  /** Without it the host process begins when it is asked to. */
  async #openHints(): Promise<void> {
    try {
      const socket = await this.#stream(HINTS, this.#closed.signal);
      this.#hints?.destroy();
      this.#hints = socket;
      this.#standbyIds = [];
      socket.on("error", () => {}); // its close follows
      socket.once("close", () => {
        if (this.#hints !== socket) return;
        this.#hints = undefined;
        this.#standbyIds = [];
        void this.#hintsAgain();
      });
      const lines = createInterface({ input: socket });
      lines.on("error", () => {}); // it passes on the socket's
      lines.on("line", (id) => {
        if (this.#hints === socket && UUID.test(id)) this.#standbyIds.push(id);
      });
      if (this.#closed.signal.aborted) socket.destroy();
    } catch (error) {
      if (!this.#closed.signal.aborted) this.#options.logger.warn("host.no_hints", { error });
    }
  }

  /** The stream broke while the host process is there; where it is not, its return opens another. */
  async #hintsAgain(): Promise<void> {
    await this.#options.clock.sleep(HINTS_PAUSE_MS, this.#closed.signal).catch(() => {}); // closed
    if (!this.#closed.signal.aborted && this.#hints === undefined) await this.#openHints();
  }

  /** Passes on events until the connection breaks. */
  async #readEvents(): Promise<void> {
    const request = this.#request("GET", "/events", {});
    using _closed = addAbortListener(this.#closed.signal, () => request.destroy());
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request.once("response", resolve);
      request.once("error", reject);
      request.end();
    });
    if (response.statusCode !== 200) throw new Error(`the host process answered ${response.statusCode} to /events`);
    let rest = "";
    response.setEncoding("utf8");
    for await (const chunk of this.#whileAlive(response)) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#tell(JSON.parse(line) as Event); // of our own server
    }
    throw new Error("the host process closed its events");
  }

  /** The response's text; broken off when the server has been silent for too long. */
  async *#whileAlive(response: IncomingMessage): AsyncGenerator<string> {
    const { clock } = this.#options;
    const ended = new AbortController();
    let heard = clock.now();
    const guard = (async () => {
      while (!ended.signal.aborted) {
        await clock.sleep(SILENCE_MS / 4, ended.signal).catch(() => {}); // ended
        if (clock.now() - heard > SILENCE_MS) response.destroy(new Error("the host process is silent"));
      }
    })();
    try {
      for await (const chunk of response) {
        heard = clock.now();
        yield chunk as string; // the encoding is set
      }
    } finally {
      ended.abort();
      await guard;
    }
  }

  #tell(event: Event): void {
    switch (event.kind) {
      case "hello":
        this.#connected = true;
        this.#options.logger.info("host.connected");
        void this.#openHints();
        for (const listener of this.#returns) listener();
        for (const listener of this.#watchers) listener(undefined);
        return;
      case "changed":
        for (const listener of this.#watchers) listener(event.dynoId ?? undefined);
        return;
      case "notice":
        for (const listener of this.#listeners) listener(event.notice);
        return;
      case "alive":
        return;
    }
  }
}

function added<T>(set: Set<T>, listener: T): Disposable {
  set.add(listener);
  return { [Symbol.dispose]: () => void set.delete(listener) };
}

/** One that still waits for a connection hears of its own end only once it has one: its caller is told now. */
function giveUp(request: ClientRequest, why: string): void {
  const error = new Error(why);
  if (request.socket === null) request.emit("error", error);
  request.destroy(error);
}

/** The content of a 200; an `EngineError` for everything else, `unavailable` where asking again may help. */
function answerOf(request: ClientRequest): Promise<string> {
  return new Promise((resolve, reject) => {
    const unavailable = (error: Error) =>
      reject(new EngineError("unavailable", `the host process does not answer: ${error.message}`, error));
    request.on("error", unavailable);
    request.once("response", (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on("error", unavailable);
      response.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size > ANSWER_BYTES_MAX) request.destroy(new Error("an answer without end"));
        else chunks.push(chunk);
      });
      response.on("end", () => {
        const text = Buffer.concat(chunks).toString("utf8");
        if (response.statusCode === 200) resolve(text);
        else reject(refusalOf(text));
      });
    });
  });
}

/** Throws what the answer to an `/exec` says. */
async function begun(socket: Duplex): Promise<void> {
  const frame = await firstFrame(socket, SMALL_ANSWER_BYTES_MAX).catch((error: unknown) => {
    throw new EngineError("unavailable", "the host process went before the process began", error);
  });
  const text = frame.body.toString("utf8");
  if (text !== "{}") throw refusalOf(text);
}

function refusalOf(text: string): EngineError {
  try {
    const { id, message } = JSON.parse(text) as ErrorMessage; // of our own server
    return new EngineError(id === "refused" ? "invalid" : id, message);
  } catch {
    return new EngineError("failed", "the host process gave an answer that is none");
  }
}
