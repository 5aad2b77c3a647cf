/** What was measured of one thing, each time it was done. */
export interface Sample {
  /** `Stator`, `crun run`, `docker run` */
  readonly who: string;
  readonly unit: string;
  readonly values: readonly number[];
}

/** A promise of the table, and what came out; `value` null: it could not be measured, and `note` says why. */
export interface Verdict {
  readonly claim: string;
  readonly unit: string;
  readonly value: number | null;
  readonly bound: { readonly atMost: number } | { readonly atLeast: number };
  readonly note?: string;
}

export interface RowResult {
  readonly samples: readonly Sample[];
  readonly verdicts: readonly Verdict[];
  readonly notes: readonly string[];
}

/** The value that this share of the values does not exceed (nearest rank); NaN for none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

export const median = (values: readonly number[]): number => percentile(values, 0.5);

/** null where nothing was measured: that is not a promise kept. */
export function isMet({ value, bound }: Verdict): boolean | null {
  if (value === null || Number.isNaN(value)) return null;
  return "atMost" in bound ? value <= bound.atMost : value >= bound.atLeast;
}

/** `p50 41.2  p99 60.1  (30 times, 35.0 to 60.1) ms` */
export function summary({ values, unit }: Sample): string {
  if (values.length === 0) return "not measured";
  if (values.length === 1) return `${shown(values[0] ?? 0)} ${unit}`;
  const [least, most] = [percentile(values, 0), percentile(values, 1)];
  const spread = `${values.length} times, ${shown(least)} to ${shown(most)}`;
  return `p50 ${shown(median(values))}  p99 ${shown(percentile(values, 0.99))} ${unit}  (${spread})`;
}

export function shown(value: number): string {
  return Math.abs(value) >= 100 ? String(Math.round(value)) : value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}
