import { readFile, writeFile } from "node:fs/promises";
import { totalmem } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Logger } from "../../lib/logger.ts";

/**
 * What the kernel counts for root or for the whole machine, and dynos share (architecture, decision 14): at least this much, so
 * that a dyno meets its own limit long before it takes what others need. Only ever raised, and not given back: other
 * programs on the machine lose nothing by it.
 */
export interface MachineLimit {
  /** Below `/proc/sys`. */
  readonly path: string;
  /** Each number that stands there. */
  readonly atLeast: readonly number[];
  /** What a dyno could take from others where it cannot be raised. */
  readonly what: string;
}

/** Dynos that may each take their whole share. */
const DYNOS = 1024;
const CONNTRACK_BYTES = 320;
/** Of the machine's memory. */
const CONNTRACK_SHARE = 1 / 32;
const CONNTRACK_MAX = 1_048_576;
/** What one at least takes of its dyno's memory, with the other end that keeps it. */
const ORPHAN_BYTES = 8192;
const PAGE_BYTES = 4096;

/**
 * Of the machine's memory, where the kernel gives the buffers of all sockets less room than they ask for (from the second on), and none (third).
 * Its own numbers are a 16th and a tenth for TCP, an eighth and a fifth for UDP: less than a small machine's dyno may hold. What a dyno's sockets hold counts as its memory.
 */
const BUFFER_SHARES = [3 / 8, 7 / 16, 1 / 2];

export function machineLimits(memoryBytes = totalmem()): readonly MachineLimit[] {
  const connections = Math.min(CONNTRACK_MAX, Math.floor((memoryBytes * CONNTRACK_SHARE) / CONNTRACK_BYTES));
  const orphans = Math.floor(memoryBytes / ORPHAN_BYTES);
  const buffers = BUFFER_SHARES.map((share) => Math.floor((memoryBytes * share) / PAGE_BYTES));
  return [
    { path: "fs/inotify/max_user_instances", atLeast: [DYNOS * 128], what: "inotify instances" },
    { path: "fs/inotify/max_user_watches", atLeast: [DYNOS * 65_536], what: "inotify watches" },
    { path: "kernel/pid_max", atLeast: [4_194_304], what: "process ids" },
    { path: "kernel/pty/max", atLeast: [DYNOS * 64], what: "terminals" },
    { path: "fs/file-max", atLeast: [100_000_000], what: "open files" }, // each counts as its dyno's memory
    { path: "fs/aio-max-nr", atLeast: [16_777_216], what: "asynchronous I/O requests" }, // likewise
    { path: "net/netfilter/nf_conntrack_max", atLeast: [connections], what: "connections that are tracked" },
    { path: "net/netfilter/nf_conntrack_buckets", atLeast: [connections >> 2], what: "the table of these" },
    { path: "net/ipv4/tcp_max_orphans", atLeast: [orphans], what: "TCP connections that nobody holds any more" },
    { path: "net/ipv4/tcp_mem", atLeast: buffers, what: "pages of TCP buffers" },
    { path: "net/ipv4/udp_mem", atLeast: buffers, what: "pages of UDP buffers" },
  ];
}

/** Raises what is too low. What cannot be raised is told, and `stator doctor` finds it too. */
export async function raiseMachineLimits(logger: Logger): Promise<void> {
  for (const { path, wanted, what } of await tooLow()) {
    await writeFile(join("/proc/sys", path), wanted).catch((error: unknown) =>
      logger.warn("machine_limit.not_raised", { path, wanted, what, error }),
    );
  }
}

export interface TooLow extends MachineLimit {
  /** As it stands there. */
  readonly value: string;
  /** Raised where it is too low, and nowhere lowered. */
  readonly wanted: string;
}

/** Limits of the machine that are below what dynos need; those that this kernel does not have are none. */
export async function tooLow(limits = machineLimits(), root = "/proc/sys"): Promise<readonly TooLow[]> {
  const all = await Promise.all(
    limits.map(async (limit) => {
      const text = await readFile(join(root, limit.path), "utf8").catch(() => undefined);
      if (text === undefined) return [];
      const values = text.trim().split(/\s+/).map(Number);
      const wanted = values.map((value, at) => Math.max(value, limit.atLeast[at] ?? 0));
      return isDeepStrictEqual(values, wanted) ? [] : [{ ...limit, value: values.join(" "), wanted: wanted.join(" ") }];
    }),
  );
  return all.flat();
}
