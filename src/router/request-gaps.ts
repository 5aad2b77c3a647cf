/** What is known of the lines of one worker's frontend. */
interface Count {
  readonly first: number;
  highest: number;
  received: number;
  /** Lost ones that were told of. */
  told: number;
  /** Not there at the last look; what is still not there at the next is lost. */
  missing: number;
}

/** Each worker counts its lines of http and those of https. */
export type Counter = number;
export function counterOf(worker: number, tls: boolean): Counter {
  return 2 * worker + (tls ? 1 : 0);
}

/**
 * Counts request lines that never came, by the counters that each HAProxy worker puts into its lines. Its threads swap
 * neighbours, and now and then two lines get one number and the next number none: so lines are counted, not numbers.
 */
export class Gaps {
  readonly #counts = new Map<Counter, Count>();

  saw(counter: Counter, number: number): void {
    const count = this.#counts.get(counter) ?? this.#begin(counter, number);
    count.highest = Math.max(count.highest, number);
    count.received++;
  }

  /** Another reader has seen those up to `highest`. */
  goOn(counter: Counter, highest: number): void {
    this.#begin(counter, highest + 1).highest = highest;
  }

  /** The highest number that was seen, if any was. */
  highestOf(counter: Counter): number | undefined {
    return this.#counts.get(counter)?.highest;
  }

  /** How many were lost; to be called every few seconds. */
  takeLost(): number {
    let lost = 0;
    for (const count of this.#counts.values()) {
      const missing = Math.max(0, count.highest - count.first + 1 - count.received - count.told);
      const sure = Math.min(missing, count.missing);
      count.told += sure;
      count.missing = missing - sure;
      lost += sure;
    }
    return lost;
  }

  #begin(counter: Counter, first: number): Count {
    this.#forgetOldWorkers();
    const count: Count = { first, highest: first, received: 0, told: 0, missing: 0 };
    this.#counts.set(counter, count);
    return count;
  }

  #forgetOldWorkers(): void {
    for (const counter of this.#counts.keys()) {
      if (this.#counts.size < 128) return;
      this.#counts.delete(counter);
    }
  }
}
