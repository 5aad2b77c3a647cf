import type { IoUsage, MemoryUsage } from "../../model/usage.ts";

/** What the kernel's files say of a control group, parsed. Pure. */
export type MemoryCounters = Omit<MemoryUsage, "quotaBytes" | "ceilingBytes">;

const PAGE_BYTES = 4096;
/** Version 1 says "no limit" by a number next to 2^63. */
const UNLIMITED = 2 ** 60;

/** Lines `name number`; what is no number is passed over. */
export function parseFlat(text: string): ReadonlyMap<string, number> {
  const entries = text.split("\n").map((line): readonly [string, number] => {
    const space = line.lastIndexOf(" ");
    return [line.slice(0, space), Number(line.slice(space + 1))];
  });
  return new Map(entries.filter(([name, value]) => name !== "" && Number.isFinite(value)));
}

/**
 * `memory.stat` of version 1, with what is in groups inside. Shared memory stands under `cache` there, but goes nowhere without
 * swap. The kernel's own memory is left out: version 1 does not say how much of it could be taken back.
 */
export function memoryOfV1(stat: string): MemoryCounters {
  const all = parseFlat(stat);
  const of = (name: string) => all.get(`total_${name}`) ?? 0;
  const shared = of("shmem");
  return {
    rssBytes: of("rss") + shared,
    cacheBytes: Math.max(0, of("cache") - shared),
    swapBytes: of("swap"),
    pagesIn: of("pgpgin"),
    pagesOut: of("pgpgout"),
  };
}

/** What of the kernel's memory for a group it cannot take back. */
const KERNEL = ["kernel_stack", "pagetables", "sec_pagetables", "percpu", "sock", "vmalloc", "slab_unreclaimable"];

/**
 * `memory.stat` and `memory.swap.current` of version 2, which counts no page in or out of a group: pages that it read from
 * and wrote to block devices stand for them.
 */
export function memoryOfV2(stat: string, swap: string | undefined, io: IoUsage | null): MemoryCounters {
  const all = parseFlat(stat);
  const of = (name: string) => all.get(name) ?? 0;
  const shared = of("shmem");
  return {
    rssBytes: of("anon") + shared + KERNEL.reduce((sum, name) => sum + of(name), 0),
    cacheBytes: Math.max(0, of("file") - shared) + of("slab_reclaimable"),
    swapBytes: Number(swap ?? 0),
    pagesIn: io && Math.round(io.readBytes / PAGE_BYTES),
    pagesOut: io && Math.round(io.writeBytes / PAGE_BYTES),
  };
}

/** `cpuacct.usage` of version 1, in ns; `cpu.stat` of version 2. */
export function cpuMsOf(kind: "v1" | "v2", text: string): number {
  return kind === "v1" ? Number(text) / 1e6 : (parseFlat(text).get("usage_usec") ?? 0) / 1e3;
}

/** `/proc/vmstat`: processes that the kernel ever killed for memory; undefined before Linux 4.13. */
export function killsOf(vmstat: string): number | undefined {
  const count = /^oom_kill (\d+)$/m.exec(vmstat)?.[1];
  return count === undefined ? undefined : Number(count);
}

/** `memory.max`, `memory.limit_in_bytes`. */
export function ceilingOf(text: string): number | null {
  const value = Number(text);
  return Number.isFinite(value) && value < UNLIMITED ? value : null;
}

/** `blkio.throttle.io_service_bytes_recursive` and `..._serviced_recursive` of version 1: `7:0 Read 4096`. */
export function ioOfV1(bytes: string, operations: string): IoUsage {
  const [sizes, counts] = [bytes, operations].map((text) => parseFlat(text));
  const sum = (of: ReadonlyMap<string, number> | undefined, what: string) =>
    counted([...(of ?? [])].filter(([key]) => key.endsWith(` ${what}`)));
  return {
    readBytes: sum(sizes, "Read"),
    writeBytes: sum(sizes, "Write"),
    reads: sum(counts, "Read"),
    writes: sum(counts, "Write"),
  };
}

/** `io.stat` of version 2: `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`. */
export function ioOfV2(stat: string): IoUsage {
  const devices = stat.split("\n").map((line) => {
    const [device = "", ...pairs] = line.split(" ");
    return { device, values: new Map(pairs.map((pair) => [pair.split("=")[0], Number(pair.split("=")[1])])) };
  });
  const sum = (name: string) => counted(devices.map(({ device, values }) => [device, values.get(name) ?? 0]));
  return { readBytes: sum("rbytes"), writeBytes: sum("wbytes"), reads: sum("rios"), writes: sum("wios") };
}

/**
 * What goes through a loop device goes through the disk below it once more: the larger of both sums counts nothing twice.
 * Devices mapped onto others (`dm`, `md`) have no counters of their own in a group.
 */
function counted(devices: readonly (readonly [device: string, value: number])[]): number {
  const loops = devices.filter(([device]) => device.startsWith(`${LOOP_MAJOR}:`));
  const others = devices.filter(([device]) => /^\d/.test(device) && !device.startsWith(`${LOOP_MAJOR}:`));
  const total = (list: typeof devices) => list.reduce((sum, [, value]) => sum + value, 0);
  return Math.max(total(loops), total(others));
}

const LOOP_MAJOR = 7;

/** `/proc/net/dev`: bytes that came in and went out by each interface. */
export function trafficOf(text: string): ReadonlyMap<string, { readonly inBytes: number; readonly outBytes: number }> {
  return new Map(
    text.split("\n").flatMap((line) => {
      const [name, numbers] = line.split(":");
      if (name === undefined || numbers === undefined) return [];
      const fields = numbers.trim().split(/\s+/).map(Number);
      return [[name.trim(), { inBytes: fields[0] ?? 0, outBytes: fields[8] ?? 0 }] as const];
    }),
  );
}

/** `btrfs qgroup show --raw`: bytes that each volume refers to, by its name. */
export function volumesOf(text: string): ReadonlyMap<string, number> {
  return new Map(
    text.split("\n").flatMap((line) => {
      const [, referenced, name] = /^0\/\d+\s+(\d+)\s+\d+\s+(\S+)\s*$/.exec(line) ?? [];
      return referenced === undefined || name === undefined ? [] : [[name, Number(referenced)] as const];
    }),
  );
}

/** The state in `/proc/<id>/stat`, whatever the process calls itself. */
export function stateOf(stat: string): string {
  return stat.charAt(stat.lastIndexOf(")") + 2);
}
