import { readFile, writeFile } from "node:fs/promises";
import { totalmem } from "node:os";
import { join } from "node:path";
import type { Logger } from "../../lib/logger.ts";

/**
 * What the kernel counts for root or for the whole machine, and dynos share (architecture, decision 14): at least this much, so
 * that a dyno meets its own limit long before it takes what others need. Only ever raised, and not given back: other
 * programs on the machine lose nothing by it.
 */
export interface MachineLimit {
  /** Below `/proc/sys`. */
  readonly path: string;
  readonly atLeast: number;
  /** What a dyno could take from others where it cannot be raised. */
  readonly what: string;
}

/** Dynos that may each take their whole share. */
const DYNOS = 1024;
const CONNTRACK_BYTES = 320;
/** Of the machine's memory. */
const CONNTRACK_SHARE = 1 / 32;
const CONNTRACK_MAX = 1_048_576;

export function machineLimits(memoryBytes = totalmem()): readonly MachineLimit[] {
  const connections = Math.min(CONNTRACK_MAX, Math.floor((memoryBytes * CONNTRACK_SHARE) / CONNTRACK_BYTES));
  return [
    { path: "fs/inotify/max_user_instances", atLeast: DYNOS * 128, what: "inotify instances" },
    { path: "fs/inotify/max_user_watches", atLeast: DYNOS * 65_536, what: "inotify watches" },
    { path: "kernel/pid_max", atLeast: 4_194_304, what: "process ids" },
    { path: "kernel/pty/max", atLeast: DYNOS * 64, what: "terminals" },
    { path: "fs/file-max", atLeast: 100_000_000, what: "open files" }, // each counts as its dyno's memory
    { path: "fs/aio-max-nr", atLeast: 16_777_216, what: "asynchronous I/O requests" }, // likewise
    { path: "net/netfilter/nf_conntrack_max", atLeast: connections, what: "connections that are tracked" },
    { path: "net/netfilter/nf_conntrack_buckets", atLeast: connections >> 2, what: "the table of these" },
  ];
}

/** Raises what is too low. What cannot be raised is told, and `stator doctor` finds it too. */
export async function raiseMachineLimits(logger: Logger): Promise<void> {
  for (const { path, atLeast, what } of await tooLow()) {
    await writeFile(join("/proc/sys", path), String(atLeast)).catch((error: unknown) =>
      logger.warn("machine_limit.not_raised", { path, atLeast, what, error }),
    );
  }
}

/** Limits of the machine that are below what dynos need; those that this kernel does not have are none. */
export async function tooLow(): Promise<readonly (MachineLimit & { readonly value: number })[]> {
  const all = await Promise.all(
    machineLimits().map(async (limit) => {
      const text = await readFile(join("/proc/sys", limit.path), "utf8").catch(() => undefined);
      return { ...limit, value: text === undefined ? Number.POSITIVE_INFINITY : Number(text) };
    }),
  );
  return all.filter(({ value, atLeast }) => value < atLeast);
}
