/** What is known of one worker's lines. */
interface Count {
  readonly first: number;
  highest: number;
  received: number;
  /** Lost ones that were told of. */
  told: number;
  /** Not there at the last look; what is still not there at the next is lost. */
  missing: number;
}

/**
 * Counts request lines that never came, by the counter that each HAProxy worker puts into its lines. Its threads swap
 * neighbours, and now and then two lines get one number and the next number none: so lines are counted, not numbers.
 */
export class Gaps {
  readonly #counts = new Map<number, Count>();

  saw(worker: number, number: number): void {
    let count = this.#counts.get(worker);
    if (count === undefined) {
      this.#forgetOldWorkers();
      count = { first: number, highest: number, received: 0, told: 0, missing: 0 };
      this.#counts.set(worker, count);
    }
    count.highest = Math.max(count.highest, number);
    count.received++;
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

  #forgetOldWorkers(): void {
    for (const worker of this.#counts.keys()) {
      if (this.#counts.size < 64) return;
      this.#counts.delete(worker);
    }
  }
}
