/** Values below this are counted exactly; above it each doubling has half as many buckets, so a value is off by 1/32 at most. */
const EXACT = 64;
const HALF = EXACT / 2;
const EXACT_BITS = 6;
/** Greater values count as this: 37 hours, where the unit is a millisecond. */
export const HISTOGRAM_MAX = 2 ** 27 - 1;
const BUCKETS_MAX = bucketOf(HISTOGRAM_MAX) + 1;

/**
 * Counts of whole numbers, log-linear: small where values are small, and two can be added. A percentile is at most 1/32 too
 * high, never too low.
 */
export class Histogram {
  #counts = new Uint32Array(16);
  #count = 0;
  #max = 0;

  get count(): number {
    return this.#count;
  }

  /** The greatest value, exactly; 0 for none. */
  get max(): number {
    return this.#max;
  }

  /** Values that are negative or no number count as 0. */
  add(value: number): void {
    const whole = value > 0 ? Math.min(Math.round(value), HISTOGRAM_MAX) : 0;
    const bucket = bucketOf(whole);
    if (bucket >= this.#counts.length) this.#grow(bucket + 1);
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#count++;
    if (whole > this.#max) this.#max = whole;
  }

  addAll(other: Histogram): void {
    if (other.#counts.length > this.#counts.length) this.#grow(other.#counts.length);
    for (const [bucket, count] of other.#counts.entries())
      if (count > 0) this.#counts[bucket] = (this.#counts[bucket] ?? 0) + count;
    this.#count += other.#count;
    this.#max = Math.max(this.#max, other.#max);
  }

  /** The value that this share of the values (0 to 1) does not exceed; null for none. */
  percentile(share: number): number | null {
    if (this.#count === 0) return null;
    let left = Math.max(1, Math.ceil(share * this.#count));
    for (const [bucket, count] of this.#counts.entries()) {
      left -= count;
      if (left <= 0) return Math.min(highestOf(bucket), this.#max);
    }
    return this.#max;
  }

  clear(): void {
    this.#counts.fill(0);
    this.#count = 0;
    this.#max = 0;
  }

  #grow(length: number): void {
    const grown = new Uint32Array(Math.min(BUCKETS_MAX, Math.max(length, this.#counts.length * 2)));
    grown.set(this.#counts);
    this.#counts = grown;
  }
}

function bucketOf(value: number): number {
  if (value < EXACT) return value;
  const shift = 32 - EXACT_BITS - Math.clz32(value);
  return shift * HALF + (value >> shift);
}

/** The greatest value that counts into the bucket. */
function highestOf(bucket: number): number {
  if (bucket < EXACT) return bucket;
  const shift = Math.floor(bucket / HALF) - 1;
  return (bucket - shift * HALF + 1) * 2 ** shift - 1;
}
