import type { Socket } from "node:net";
import type { Clock } from "../lib/clock.ts";
import { withDeadline } from "../lib/deadline.ts";
import type { DrainTarget } from "../model/drain-url.ts";
import { Poster, type PostOptions } from "../outbound/http.ts";
import type { Outbound } from "../outbound/outbound.ts";
import { type Frame, framed, httpMessage, syslogMessage } from "./drain-format.ts";
import { exportRequest } from "./otlp.ts";

/** Brings frames to a drain's receiver, one after the other. */
export interface Sender extends Disposable {
  /** `refused`: the receiver wants none of it, now or later. Throws where it may be tried again. */
  send(frame: Frame, signal: AbortSignal): Promise<"taken" | "refused">;
}

/** The receiver answered, and not well: what is wrong may be the frame. */
export class BadAnswer extends Error {
  constructor(status: number) {
    super(`it answered ${status}`);
    this.name = "BadAnswer";
  }
}

export interface SenderParts {
  readonly outbound: Outbound;
  readonly clock: Clock;
  readonly appId: string;
  readonly target: DrainTarget;
  /** Who the drain is, in what it sends. */
  readonly token: string;
}

export interface OtlpParts extends Omit<SenderParts, "token"> {
  readonly headers: Readonly<Record<string, string>>;
  readonly appName: () => Promise<string>;
}

/** Times of Heroku's (spec 8.4): for an answer, for a write, until an idle connection is closed. */
const ANSWER_MS = 3_000 + 5_000;
const WRITE_MS = 4_000;
const IDLE_MS = 240_000;
/** A connection is made anew after this: names may mean other addresses by then, and the operator may have thought again. */
const LIFE_MS = 300_000;

export function senderOf(parts: SenderParts): Sender {
  return parts.target.kind === "http" ? new HttpSender(parts, logplexRequest(parts.token)) : new SyslogSender(parts);
}

export function otlpSender(parts: OtlpParts): Sender {
  return new HttpSender(parts, otlpRequest(parts));
}

type MakeRequest = (frame: Frame) => Promise<Pick<PostOptions, "headers" | "body">>;

const logplexRequest =
  (token: string): MakeRequest =>
  async ({ id, messages }) => ({
    headers: {
      "Content-Type": "application/logplex-1",
      "Logplex-Msg-Count": messages.length,
      "Logplex-Frame-Id": id,
      "Logplex-Drain-Token": token,
      "User-Agent": "Logplex/v1 Stator",
    },
    body: framed(messages.map(httpMessage)),
  });

const otlpRequest =
  ({ headers, appName, clock }: OtlpParts): MakeRequest =>
  async ({ messages }) => ({
    headers: { "User-Agent": "Stator", ...headers, "Content-Type": "application/json" },
    body: Buffer.from(JSON.stringify(exportRequest(messages, await appName(), clock.now()))),
  });

class HttpSender implements Sender {
  readonly #parts: Omit<SenderParts, "token">;
  readonly #make: MakeRequest;
  #poster: { readonly poster: Poster; readonly until: number } | undefined;

  constructor(parts: Omit<SenderParts, "token">, make: MakeRequest) {
    this.#parts = parts;
    this.#make = make;
  }

  async send(frame: Frame, signal: AbortSignal): Promise<"taken" | "refused"> {
    const { headers, body } = await this.#make(frame);
    const status = await this.#open().post({ headers, body, answerMs: ANSWER_MS, signal });
    if (status >= 200 && status < 300) return "taken";
    if (status >= 400 && status < 500 && status !== 429) return "refused";
    throw new BadAnswer(status); // a redirect too: it is not followed
  }

  [Symbol.dispose](): void {
    this.#poster?.poster[Symbol.dispose]();
  }

  #open(): Poster {
    const { outbound, clock, appId, target } = this.#parts;
    if (this.#poster && clock.now() < this.#poster.until) return this.#poster.poster;
    this.#poster?.poster[Symbol.dispose]();
    const poster = new Poster(outbound, clock, { ...target, appId });
    this.#poster = { poster, until: clock.now() + LIFE_MS };
    return poster;
  }
}

/** Syslog says nothing back: what the kernel has taken counts as delivered. */
class SyslogSender implements Sender {
  readonly #parts: SenderParts;
  #connection: { readonly socket: Socket; readonly until: number } | undefined;

  constructor(parts: SenderParts) {
    this.#parts = parts;
  }

  async send({ messages }: Frame, signal: AbortSignal): Promise<"taken"> {
    const { clock, token, target } = this.#parts;
    const socket = await this.#open(signal);
    const bytes = framed(messages.map((message) => syslogMessage(message, token)));
    try {
      await withDeadline({ clock, ms: WRITE_MS, what: `writing to ${target.shown}`, signal }, (soon) =>
        written(socket, bytes, soon),
      );
    } catch (error) {
      this.#close(); // half a message may have gone: the next one must not follow it
      throw error;
    }
    return "taken";
  }

  [Symbol.dispose](): void {
    this.#close();
  }

  async #open(signal: AbortSignal): Promise<Socket> {
    const { outbound, clock, appId, target } = this.#parts;
    const now = clock.now();
    if (this.#connection && now < this.#connection.until && this.#connection.socket.writable) {
      return this.#connection.socket;
    }
    this.#close();
    const socket = await outbound.connect({ ...target, appId }, signal);
    this.#connection = { socket, until: now + LIFE_MS };
    socket.on("error", () => socket.destroy()).on("end", () => socket.destroy());
    socket.setTimeout(IDLE_MS, () => socket.end());
    socket.setKeepAlive(true, 60_000);
    socket.resume(); // whatever it says
    return socket;
  }

  #close(): void {
    this.#connection?.socket.destroy();
    this.#connection = undefined;
  }
}

async function written(socket: Socket, bytes: Buffer, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const abort = () => reject(signal.reason as Error);
  signal.addEventListener("abort", abort, { once: true });
  const closed = () => reject(new Error("the receiver closed the connection"));
  socket.once("close", closed);
  socket.write(bytes, (error) => (error ? reject(error) : resolve()));
  try {
    await promise;
  } finally {
    socket.off("close", closed);
    signal.removeEventListener("abort", abort);
  }
}
