/** What a dyno may use (spec 2.1). Every number is a ceiling that the kernel holds, or `stator doctor` says why not. */
export interface DynoSize {
  /** As printed; matched without regard to case. */
  readonly name: string;
  /** Memory quota, MiB: counted at admission; above it R14 is logged. */
  readonly memoryMb: number;
  /** MiB at which the kernel kills the dyno (R15); at least the quota. */
  readonly memoryCeilingMb: number;
  /** MiB of swap beside its memory; 0: none. */
  readonly swapMb: number;
  /** Guaranteed share: relative weight against other dynos when the processors are short. */
  readonly cpuShares: number;
  /** Burst ceiling: hundredths of one processor it may use at most; 0: no ceiling but the machine's. */
  readonly cpuPercentMax: number;
  /** Processes and threads together. */
  readonly pidsMax: number;
  /** `/app` and `/tmp` together, MiB. */
  readonly diskMb: number;
  readonly io: DiskRates;
  readonly network: NetworkRates;
  /** Heroku's relative performance figure and price, for the API. */
  readonly compute: number;
  readonly dedicated: boolean;
}

/** Block I/O each way. */
export interface DiskRates {
  readonly readMbPerSecond: number;
  readonly writeMbPerSecond: number;
  readonly readOpsPerSecond: number;
  readonly writeOpsPerSecond: number;
}

/** Megabits a second on the dyno's own network interface. */
export interface NetworkRates {
  /** Towards the dyno. */
  readonly inMbit: number;
  /** From the dyno. */
  readonly outMbit: number;
}

/** All sizes that apps may have, and how far their memory is promised more than once. */
export interface SizeCatalogue {
  readonly sizes: readonly DynoSize[];
  /** Sum of the quotas of all dynos that live, over the memory there is. */
  readonly memoryOvercommit: number;
}

const SHARED = { io: rates(100, 50, 4000, 2000), network: { inMbit: 250, outMbit: 250 } };
const DOUBLE = { io: rates(200, 100, 8000, 4000), network: { inMbit: 500, outMbit: 500 } };
const DEDICATED = { io: rates(400, 200, 16_000, 8000), network: { inMbit: 1000, outMbit: 1000 } };
const LARGE = { io: rates(1000, 500, 40_000, 20_000), network: { inMbit: 2500, outMbit: 2500 } };

/** Heroku's own (spec 2.1); rates of disk and network, which it does not publish, are ours. */
export const HEROKU_SIZES: readonly DynoSize[] = [
  size("Eco", 512, 256, 400, 256, 1, false, SHARED),
  size("Basic", 512, 256, 400, 256, 1, false, SHARED),
  size("Standard-1X", 512, 256, 400, 256, 1, false, SHARED),
  size("Standard-2X", 1024, 512, 800, 512, 2, false, DOUBLE),
  size("Performance-M", 2560, 1024, 200, 16_384, 12, true, DEDICATED),
  size("Performance-L", 14_336, 4096, 800, 32_768, 50, true, LARGE),
  size("Performance-L-RAM", 30_720, 2048, 400, 32_768, 24, true, LARGE),
  size("Performance-XL", 63_488, 4096, 800, 32_768, 50, true, LARGE),
  size("Performance-2XL", 129_024, 8192, 1600, 32_768, 100, true, LARGE),
];

export const DEFAULT_SIZE = "Basic";

/**
 * Quotas are ceilings that most dynos stay far below; all dynos together are kept below the machine's memory by their common
 * group, so that the host never suffers.
 */
export const MEMORY_OVERCOMMIT = 4;

/** Size of build dynos; not offered to apps. */
export const BUILD_SIZE: DynoSize = {
  ...size("Build", 2048, 512, 0, 4096, 0, false, LARGE),
  memoryCeilingMb: 2048, // a build that swells is told so early, not at twice what was counted for it
  diskMb: 8192,
};

/** Names of other times (spec 2.1), accepted wherever a user names a size. */
const LEGACY: Readonly<Record<string, string>> = {
  free: "Eco",
  hobby: "Basic",
  "1x": "Standard-1X",
  "2x": "Standard-2X",
  px: "Performance-L",
};

let catalogue: SizeCatalogue = { sizes: HEROKU_SIZES, memoryOvercommit: MEMORY_OVERCOMMIT };

/** The catalogue of this process: set by what starts it, and again when the operator's file changes. */
export function useCatalogue(next: SizeCatalogue): void {
  catalogue = next;
}

/** Sizes that apps may have. */
export function sizes(): readonly DynoSize[] {
  return catalogue.sizes;
}

export function memoryOvercommit(): number {
  return catalogue.memoryOvercommit;
}

/** The size that an app's owner means: any case, legacy names too; undefined if there is none. */
export function sizeOffered(name: string): DynoSize | undefined {
  const wanted = name.toLowerCase();
  const current = Object.hasOwn(LEGACY, wanted) ? (LEGACY[wanted] ?? wanted).toLowerCase() : wanted;
  const named = (text: string) => sizes().find((each) => each.name.toLowerCase() === text);
  return named(wanted) ?? named(current);
}

/** Finds a size by its own name, in any case, the one of build dynos too; undefined if there is none. */
export function sizeNamed(name: string): DynoSize | undefined {
  const wanted = name.toLowerCase();
  return [...sizes(), BUILD_SIZE].find((each) => each.name.toLowerCase() === wanted);
}

function size(
  name: string,
  memoryMb: number,
  cpuShares: number,
  cpuPercentMax: number,
  pidsMax: number,
  compute: number,
  dedicated: boolean,
  { io, network }: Pick<DynoSize, "io" | "network">,
): DynoSize {
  return {
    name,
    memoryMb,
    memoryCeilingMb: 2 * memoryMb,
    swapMb: 0,
    cpuShares,
    cpuPercentMax,
    pidsMax,
    diskMb: 2048,
    io,
    network,
    compute,
    dedicated,
  };
}

function rates(readMb: number, writeMb: number, readOps: number, writeOps: number): DiskRates {
  return {
    readMbPerSecond: readMb,
    writeMbPerSecond: writeMb,
    readOpsPerSecond: readOps,
    writeOpsPerSecond: writeOps,
  };
}
