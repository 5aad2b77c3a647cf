import type { DynoUsage } from "../model/usage.ts";

/** Load averages of one dyno over one, five and fifteen minutes (spec 8.5). */
export type LoadAverages = readonly [one: number, five: number, fifteen: number];

const WINDOWS_MS = [60_000, 300_000, 900_000] as const;

/**
 * The kernel keeps no run queue for each group, so the average number of tasks that ran or were ready to is told by time: what
 * they ran (the group's processor time) and what they waited for a processor (each task's own count), over the time that
 * passed; with those in uninterruptible sleep at this instant. Damped as the kernel damps its own. `before`: the last sample,
 * with its averages; undefined: none, and the dyno is taken to have been as busy since its start as it was on average.
 */
export function loadOf(usage: DynoUsage, before: Sampled | undefined): LoadAverages | null {
  if (usage.tasks === null) return null;
  const known = before?.load != null && before.usage.tasks !== null ? before : undefined;
  const ms = usage.at - (known?.usage.at ?? usage.since);
  if (ms <= 0) return known?.load ?? [0, 0, 0]; // the wall clock was set back
  const active = activeMs(usage) - (known === undefined ? 0 : activeMs(known.usage));
  const tasks = Math.max(0, active) / ms + usage.tasks.uninterruptible;
  const damped = (index: 0 | 1 | 2): number => {
    const kept = Math.exp(-ms / WINDOWS_MS[index]);
    return (known?.load?.[index] ?? 0) * kept + tasks * (1 - kept);
  };
  return [damped(0), damped(1), damped(2)];
}

export interface Sampled {
  readonly usage: DynoUsage;
  readonly load: LoadAverages | null;
}

function activeMs({ cpuMs, tasks }: DynoUsage): number {
  return cpuMs + (tasks?.waitedMs ?? 0);
}
