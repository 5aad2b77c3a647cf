import type { Metrics } from "../model/formation.ts";
import type { Measured } from "./measure.ts";

/** What others ask of the metrics. */
export interface UsageReader {
  /** The app's running dynos, as they were at most two seconds ago. Throws `service_unavailable` when nobody can tell. */
  usagesOf(appId: string): Promise<readonly Measured[]>;
}

/** What scaling asks: the means over a process type's dynos at the latest sample, which is at most some 20 s old. */
export interface TypeMetrics {
  metricsOf(appId: string, type: string): Metrics;
}
