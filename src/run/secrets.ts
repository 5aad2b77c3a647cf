import { createHash, randomBytes } from "node:crypto";
import type { Clock, Instant } from "../lib/clock.ts";

/** After 30 s without a client the dyno is given up (R13); a client that comes later finds nothing. */
const LIFE_MS = 60_000;
const BYTES = 32;

/** What an attach secret looks like; no HTTP request begins so. */
export const ATTACH_SECRET = /^[A-Za-z0-9_-]{43}$/;

/** Secrets that join one client with what they stand for, once. Looked up by their hash, so that time tells nothing of them. */
export class Secrets<T> {
  readonly #clock: Clock;
  readonly #known = new Map<string, { readonly what: T; readonly until: Instant }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  issue(what: T): string {
    const now = this.#clock.now();
    for (const [hash, { until }] of this.#known) if (until < now) this.#known.delete(hash);
    const secret = randomBytes(BYTES).toString("base64url");
    this.#known.set(hashOf(secret), { what, until: now + LIFE_MS });
    return secret;
  }

  redeem(secret: string): T | undefined {
    const hash = hashOf(secret);
    const found = this.#known.get(hash);
    this.#known.delete(hash);
    return found !== undefined && found.until >= this.#clock.now() ? found.what : undefined;
  }
}

function hashOf(secret: string): string {
  return createHash("sha256").update(secret).digest("hex");
}
