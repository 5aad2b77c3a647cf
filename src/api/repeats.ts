import { createHash } from "node:crypto";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Clock, Instant } from "../lib/clock.ts";
import { UUID } from "../lib/uuid.ts";

/** Clients try for some seconds (platform-api 1.4: five times, 6.2 s in all). */
const KEPT_MS = 60_000;
const KEPT_MAX = 1_000;
const ID = new RegExp(UUID, "i");

interface Kept {
  readonly value: unknown;
  readonly status: number;
  readonly headers: ReturnType<FastifyReply["getHeaders"]>;
}

/**
 * Creates that are safe to repeat: the official client sends a POST again when its connection broke, with the id in `Request-Id` that it
 * chose for it. The same call of the same caller within a minute is done once, and answered the same. Kept in memory: a daemon that was
 * killed in between does it again.
 */
export class Repeats {
  readonly #clock: Clock;
  readonly #kept = new Map<string, { readonly answer: Promise<Kept>; readonly until: Instant }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Does it, or gives what came of it when it was done before. What failed is done again. */
  async once<T>(
    call: { readonly request: FastifyRequest; readonly reply: FastifyReply },
    act: () => Promise<T>,
    userId: string,
  ): Promise<T> {
    const key = keyOf(call.request, userId);
    if (key === undefined) return act();
    this.#forgetOld();
    const before = await this.#kept.get(key)?.answer.catch(() => undefined); // it failed
    if (before !== undefined) {
      call.reply.code(before.status).headers(before.headers);
      return before.value as T; // of the same route, so of its type
    }
    const { reply } = call;
    const answer = act().then((value) => ({ value, status: reply.statusCode, headers: ownHeaders(reply) }));
    this.#kept.set(key, { answer, until: this.#clock.now() + KEPT_MS });
    try {
      const { value } = await answer;
      if (reply.sent) this.#kept.delete(key); // a stream
      return value;
    } catch (error) {
      this.#kept.delete(key);
      throw error;
    }
  }

  #forgetOld(): void {
    const now = this.#clock.now();
    for (const [key, { until }] of this.#kept) {
      if (until > now && this.#kept.size < KEPT_MAX) return; // those after it are younger
      this.#kept.delete(key);
    }
  }
}

/** Those that the call's own answer has, not those that every answer has. */
function ownHeaders(reply: FastifyReply): Kept["headers"] {
  const { "request-id": _id, "ratelimit-remaining": _remaining, ...own } = reply.getHeaders();
  return own;
}

/** undefined: the client chose no id for the call, or it creates nothing. */
function keyOf({ method, url, headers, body }: FastifyRequest, userId: string): string | undefined {
  const [id = ""] = String(headers["request-id"] ?? "").split(",", 1);
  if (method !== "POST" || !ID.test(id.trim())) return undefined;
  const facts = JSON.stringify([userId, url, id.trim(), body ?? null]);
  return createHash("sha256").update(facts).digest("base64");
}
