/** Values below this are counted exactly; above it each doubling has half as many buckets, so a value is off by 1/32 at most. */
const EXACT = 64;
const HALF = EXACT / 2;
const EXACT_BITS = 6;
/** Greater values count as this: 37 hours, where the unit is a millisecond. */
export const HISTOGRAM_MAX = 2 ** 27 - 1;
const GROWTH = 32;
const NARROW_MAX = 0xffff;

/**
 * Counts of whole numbers, log-linear: small where values are small, and two can be added. A percentile is at most 1/32 too
 * high, never too low.
 */
export class Histogram {
  /** As short and as narrow as its values allow: there may be tens of thousands. */
  #counts: Uint16Array | Uint32Array = new Uint16Array(GROWTH);
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
    this.#addTo(bucket, 1);
    this.#count++;
    if (whole > this.#max) this.#max = whole;
  }

  addAll(other: Histogram): void {
    for (const [bucket, count] of other.#counts.entries()) if (count > 0) this.#addTo(bucket, count);
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

  #addTo(bucket: number, more: number): void {
    const count = (this.#counts[bucket] ?? 0) + more;
    const isNarrow = this.#counts instanceof Uint16Array;
    if (bucket >= this.#counts.length || (isNarrow && count > NARROW_MAX)) {
      const length = Math.max(this.#counts.length, Math.ceil((bucket + 1) / GROWTH) * GROWTH);
      const grown = isNarrow && count <= NARROW_MAX ? new Uint16Array(length) : new Uint32Array(length);
      grown.set(this.#counts);
      this.#counts = grown;
    }
    this.#counts[bucket] = count;
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
