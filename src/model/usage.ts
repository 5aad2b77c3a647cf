import type { Instant } from "../lib/clock.ts";
import type { DynoKind } from "./dyno.ts";

/** What a running dyno uses and has used, as the kernel counts it. null: this host does not count it. */
export interface DynoUsage {
  readonly id: string;
  readonly appId: string;
  readonly kind: DynoKind;
  readonly name: string;
  /** When it was looked at. */
  readonly at: Instant;
  /** When its command began. */
  readonly since: Instant;
  readonly memory: MemoryUsage;
  /** Processor time of all its processes since it began, those that ended too. */
  readonly cpuMs: number;
  /** Processes and threads that live. */
  readonly processes: number;
  /** Only of the apps that `Engine.usage` was asked for. */
  readonly tasks: TaskUsage | null;
  /** `/app` and `/tmp` together; as old as the file system's last commit (30 s). */
  readonly diskBytes: number | null;
  readonly io: IoUsage | null;
  readonly network: { readonly inBytes: number; readonly outBytes: number } | null;
}

export interface MemoryUsage {
  /** What the kernel cannot take back: anonymous and shared memory, and (version 2) the kernel's own for the dyno. */
  readonly rssBytes: number;
  /** Files kept in memory, which the kernel takes back when it needs to. */
  readonly cacheBytes: number;
  readonly swapBytes: number;
  /** What its size gives; above it R14. */
  readonly quotaBytes: number;
  /** Where the kernel kills; null: nowhere. */
  readonly ceilingBytes: number | null;
  /** Pages that were charged and given back since it began. */
  readonly pagesIn: number | null;
  readonly pagesOut: number | null;
}

/** What its processes and threads waited for; with `cpuMs` its share of a load average. */
export interface TaskUsage {
  /** Time that they were ready to run and had no processor, all of them together; grows. */
  readonly waitedMs: number;
  /** How many of them are in uninterruptible sleep at this instant. */
  readonly uninterruptible: number;
}

/** What went through block devices for the dyno. */
export interface IoUsage {
  readonly readBytes: number;
  readonly writeBytes: number;
  readonly reads: number;
  readonly writes: number;
}

export const MEBIBYTE = 1024 * 1024;

/** What counts against the quota (spec 6.1): all but what the kernel can take back. */
export function chargedBytes({ rssBytes, swapBytes }: Pick<MemoryUsage, "rssBytes" | "swapBytes">): number {
  return rssBytes + swapBytes;
}

/** `Process running mem=646M(126.2%)` (spec 6.1). */
export function memoryLine(bytes: number, quotaBytes: number): string {
  return `Process running mem=${Math.floor(bytes / MEBIBYTE)}M(${((100 * bytes) / quotaBytes).toFixed(1)}%)`;
}
