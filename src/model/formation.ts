import type { Instant } from "../lib/clock.ts";

/** Quantity and size for one process type of an app. */
export interface Formation {
  readonly id: string;
  readonly appId: string;
  readonly type: string;
  readonly quantity: number;
  /** A name of the catalogue. */
  readonly size: string;
  /** Bounds and target of autoscaling; null: the quantity is what the user set. */
  readonly scaling: Scaling | null;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
}

export interface Scaling {
  readonly min: number;
  readonly max: number;
  readonly metric: string;
  readonly target: number;
}

/** Latest value of each metric of a process type. */
export type Metrics = Readonly<Record<string, number>>;

/**
 * How many dynos a process type should have now. Pure: the same for every engine, and the one place where scaling is
 * decided. With bounds the user's quantity is kept inside them; no metric moves it yet.
 */
export function desiredQuantity(formation: Formation, _metrics: Metrics, _now: Instant): number {
  const { quantity, scaling } = formation;
  return scaling === null ? quantity : Math.min(Math.max(quantity, scaling.min), scaling.max);
}
