import type { Metrics } from "../model/formation.ts";
import { chargedBytes, type DynoUsage } from "../model/usage.ts";
import { type LoadAverages, loadOf } from "./load.ts";

/** A dyno's usage with what only two looks can tell. */
export interface Measured {
  readonly usage: DynoUsage;
  /** Hundredths of one processor since the last sample, or since its start if that is later. */
  readonly cpuPercent: number;
  /** null: its tasks were not looked at. */
  readonly load: LoadAverages | null;
}

export type Measurement = ReadonlyMap<string, Measured>;

/** What a look says, by the dyno's id, compared with the last sample. Dynos that are gone are forgotten. */
export function measure(usages: readonly DynoUsage[], last: Measurement): Measurement {
  return new Map(
    usages.map((usage) => {
      const before = last.get(usage.id);
      return [usage.id, { usage, cpuPercent: cpuPercentOf(usage, before), load: loadOf(usage, before) }];
    }),
  );
}

function cpuPercentOf(usage: DynoUsage, before: Measured | undefined): number {
  const ms = usage.at - (before?.usage.at ?? usage.since);
  const cpuMs = usage.cpuMs - (before?.usage.cpuMs ?? 0);
  return ms <= 0 ? (before?.cpuPercent ?? 0) : (100 * Math.max(0, cpuMs)) / ms;
}

/**
 * The means over the dynos of one process type, for `desiredQuantity`: `dynos`, `cpu_percent` (of one processor),
 * `memory_percent` (of the quota), and `load_1m` where it is measured. Empty when none runs.
 */
export function metricsOf(measurement: Measurement, appId: string, type: string): Metrics {
  const all = [...measurement.values()].filter(
    ({ usage }) => usage.appId === appId && usage.kind === "formation" && typeOf(usage.name) === type,
  );
  if (all.length === 0) return {};
  const loads = all.flatMap(({ load }) => (load === null ? [] : [load[0]]));
  return {
    dynos: all.length,
    cpu_percent: mean(all.map(({ cpuPercent }) => cpuPercent)),
    memory_percent: mean(all.map(({ usage: { memory } }) => (100 * chargedBytes(memory)) / memory.quotaBytes)),
    ...(loads.length > 0 && { load_1m: mean(loads) }),
  };
}

/** `web` of `web.1`. */
function typeOf(name: string): string {
  return name.slice(0, name.lastIndexOf("."));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
