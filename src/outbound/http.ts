import { Agent, type ClientRequest, type ClientRequestArgs, type IncomingMessage, request } from "node:http";
import type { Duplex } from "node:stream";
import type { Clock } from "../lib/clock.ts";
import { withDeadline } from "../lib/deadline.ts";
import type { Outbound, Target } from "./outbound.ts";

export interface WebTarget extends Target {
  readonly url: URL;
}

export interface PostOptions {
  readonly headers: Readonly<Record<string, string | number>>;
  readonly body: Uint8Array;
  /** For the answer, from the first byte of the request to the last one of it. */
  readonly answerMs: number;
  readonly signal: AbortSignal;
}

/** Posts to one URL, over one connection that is kept for the next time. Redirects are not followed. */
export class Poster implements Disposable {
  readonly #url: URL;
  readonly #clock: Clock;
  readonly #agent: OutboundAgent;

  constructor(outbound: Outbound, clock: Clock, target: WebTarget) {
    this.#url = target.url;
    this.#clock = clock;
    this.#agent = new OutboundAgent(outbound, target);
  }

  /** The status of the answer; what it says besides is thrown away. */
  async post(options: PostOptions): Promise<number> {
    const { answerMs, signal } = options;
    const deadline = { clock: this.#clock, ms: answerMs, what: `posting to ${this.#url.host}`, signal };
    return withDeadline(deadline, async (soon) => {
      const first = this.#request(options, soon);
      try {
        return await statusOf(first);
      } catch (error) {
        soon.throwIfAborted();
        if (!first.reusedSocket) throw error;
        return statusOf(this.#request(options, soon)); // the other side closed a connection that had been kept too long
      }
    });
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  #request({ headers, body }: PostOptions, signal: AbortSignal): ClientRequest {
    const sent = request({
      agent: this.#agent,
      method: "POST",
      path: `${this.#url.pathname}${this.#url.search}`,
      headers: { Host: this.#url.host, ...headers, ...basicAuthOf(this.#url, headers), "Content-Length": body.length },
      signal,
    });
    sent.end(body);
    return sent;
  }
}

/** `User:password` of the URL, unless the headers have an `Authorization` already. */
function basicAuthOf({ username, password }: URL, headers: PostOptions["headers"]) {
  if ((username === "" && password === "") || headers["Authorization"] !== undefined) return {};
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { Authorization: `Basic ${Buffer.from(pair).toString("base64")}` };
}

async function statusOf(sent: ClientRequest): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  sent.on("error", reject).on("response", (response: IncomingMessage) => {
    response.on("error", reject).on("end", () => resolve(response.statusCode ?? 0));
    response.resume();
  });
  return promise;
}

/** Gets its connections from `Outbound`, TLS ones included. */
class OutboundAgent extends Agent {
  readonly #outbound: Outbound;
  readonly #target: Target;
  readonly #stop = new AbortController();

  constructor(outbound: Outbound, target: Target) {
    super({ keepAlive: true, maxSockets: 1, timeout: IDLE_MS });
    this.#outbound = outbound;
    this.#target = target;
  }

  override createConnection(
    _options: ClientRequestArgs,
    done?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    if (done) void this.#connect(done);
    return undefined;
  }

  async #connect(done: (error: Error | null, stream: Duplex) => void): Promise<void> {
    let socket: Duplex;
    try {
      socket = await this.#outbound.connect(this.#target, this.#stop.signal);
    } catch (error) {
      return done(error as Error, undefined as unknown as Duplex); // an error comes without a stream, whatever the type says
    }
    done(null, socket);
  }

  override destroy(): void {
    this.#stop.abort();
    super.destroy();
  }
}

const IDLE_MS = 60_000;
