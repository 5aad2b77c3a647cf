import type { Instant } from "../lib/clock.ts";

/** A number that is not there after so long is lost: HAProxy's threads swap neighbours, no more. */
const GRACE_MS = 3_000;
/** Missing numbers remembered one by one; more at once are counted as lost right away. */
const MISSING_MAX = 100_000;

/** Counts request lines that never came, by the counter that each HAProxy worker puts into its lines. */
export class Gaps {
  readonly #next = new Map<number, number>();
  readonly #missing = new Map<string, Instant>();
  #lost = 0;

  saw(worker: number, count: number, now: Instant): void {
    const next = this.#next.get(worker);
    if (next === undefined) this.#forgetOldWorkers();
    if (next !== undefined && count < next) {
      this.#missing.delete(`${worker} ${count}`);
      return;
    }
    this.#next.set(worker, count + 1);
    if (next === undefined) return; // the first that we see of it
    const gap = count - next;
    if (gap > MISSING_MAX - this.#missing.size) this.#lost += gap;
    else for (let each = next; each < count; each++) this.#missing.set(`${worker} ${each}`, now);
  }

  /** How many were lost since the last call. */
  takeLost(now: Instant): number {
    for (const [key, since] of this.#missing) {
      if (now - since < GRACE_MS) break; // in the order of time
      this.#missing.delete(key);
      this.#lost++;
    }
    const lost = this.#lost;
    this.#lost = 0;
    return lost;
  }

  #forgetOldWorkers(): void {
    for (const worker of this.#next.keys()) {
      if (this.#next.size < 64) return;
      this.#next.delete(worker);
    }
  }
}
