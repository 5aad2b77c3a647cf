/** What a dyno may use (spec 2.1). Every number is a ceiling that the kernel holds. */
export interface DynoSize {
  /** As printed; matched without regard to case. */
  readonly name: string;
  /** Memory quota, MiB. */
  readonly memoryMb: number;
  /** Relative weight against other dynos when the processors are short. */
  readonly cpuShares: number;
  /** Hundredths of one processor it may use at most; 0: no ceiling but the machine's. */
  readonly cpuPercentMax: number;
  /** Processes and threads together. */
  readonly pidsMax: number;
  /** `/app` and `/tmp` together, MiB. */
  readonly diskMb: number;
  /** Heroku's relative performance figure and price, for the API. */
  readonly compute: number;
  readonly dedicated: boolean;
}

export const SIZES: readonly DynoSize[] = [
  size("Eco", 512, 256, 400, 256, 1, false),
  size("Basic", 512, 256, 400, 256, 1, false),
  size("Standard-1X", 512, 256, 400, 256, 1, false),
  size("Standard-2X", 1024, 512, 800, 512, 2, false),
  size("Performance-M", 2560, 1024, 200, 16_384, 12, true),
  size("Performance-L", 14_336, 4096, 800, 32_768, 50, true),
  size("Performance-L-RAM", 30_720, 2048, 400, 32_768, 24, true),
  size("Performance-XL", 63_488, 4096, 800, 32_768, 50, true),
  size("Performance-2XL", 129_024, 8192, 1600, 32_768, 100, true),
];

export const DEFAULT_SIZE = "Basic";

/** Size of build dynos; not offered to apps. */
export const BUILD_SIZE: DynoSize = { ...size("Build", 2048, 512, 0, 4096, 0, false), diskMb: 8192 };

/** Finds a size by name, in any case; undefined if there is none. */
export function sizeNamed(name: string): DynoSize | undefined {
  const wanted = name.toLowerCase();
  return [...SIZES, BUILD_SIZE].find((each) => each.name.toLowerCase() === wanted);
}

function size(
  name: string,
  memoryMb: number,
  cpuShares: number,
  cpuPercentMax: number,
  pidsMax: number,
  compute: number,
  dedicated: boolean,
): DynoSize {
  return { name, memoryMb, cpuShares, cpuPercentMax, pidsMax, diskMb: 2048, compute, dedicated };
}
