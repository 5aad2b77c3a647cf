import type { Clock, Instant } from "../lib/clock.ts";

const HOUR_MS = 3_600_000;
/** Accounts that are remembered; a full bucket need not be. */
const ACCOUNTS_MAX = 10_000;

/** A token bucket for each account: a burst of an hour's calls, filled up again all the time (spec 13). */
export class RateLimit {
  readonly perHour: number;
  readonly #clock: Clock;
  readonly #buckets = new Map<string, { tokens: number; at: Instant }>();

  constructor(clock: Clock, perHour: number) {
    this.#clock = clock;
    this.perHour = perHour;
  }

  /** Whole calls left. */
  remaining(accountId: string): number {
    return Math.floor(this.#level(accountId));
  }

  /** Takes one call; false if there is none left. */
  take(accountId: string): boolean {
    const level = this.#level(accountId);
    if (level < 1) return false;
    this.#buckets.delete(accountId); // the newest last, so that the first is the one to forget
    this.#buckets.set(accountId, { tokens: level - 1, at: this.#clock.now() });
    if (this.#buckets.size > ACCOUNTS_MAX) this.#forgetOldest();
    return true;
  }

  #level(accountId: string): number {
    const bucket = this.#buckets.get(accountId);
    if (bucket === undefined) return this.perHour;
    const passedMs = Math.max(0, this.#clock.now() - bucket.at);
    return Math.min(this.perHour, bucket.tokens + (passedMs / HOUR_MS) * this.perHour);
  }

  #forgetOldest(): void {
    const oldest = this.#buckets.keys().next();
    if (oldest.done !== true) this.#buckets.delete(oldest.value);
  }
}
