import Type, { type Static } from "typebox";
import { Compile } from "typebox/compile";
import { BUILD_SIZE, type DynoSize, HEROKU_SIZES, MEMORY_OVERCOMMIT, type SizeCatalogue } from "./size.ts";

/**
 * The operator's own sizes, `$STATOR_HOME/sizes.json` (docs/settings.md):
 *
 *     { "memory_overcommit": 4,
 *       "sizes": { "Small": { "memory_mb": 256, "memory_ceiling_mb": 256, "cpu_percent_max": 50 } } }
 *
 * A name of Heroku's changes that size; what is not said stays. A new name takes what is not said from Standard-1X.
 */
const whole = (minimum: number, maximum: number) => Type.Optional(Type.Integer({ minimum, maximum }));
const MEBIBYTES = 16 * 1024 * 1024;

const OwnSize = Type.Object(
  {
    memory_mb: whole(32, MEBIBYTES),
    memory_ceiling_mb: whole(32, MEBIBYTES),
    swap_mb: whole(0, MEBIBYTES),
    cpu_shares: whole(2, 262_144),
    cpu_percent_max: whole(0, 100_000),
    processes: whole(16, 1_000_000),
    disk_mb: whole(64, MEBIBYTES),
    read_mb_per_second: whole(1, 100_000),
    write_mb_per_second: whole(1, 100_000),
    read_ops_per_second: whole(10, 10_000_000),
    write_ops_per_second: whole(10, 10_000_000),
    network_in_mbit: whole(1, 100_000),
    network_out_mbit: whole(1, 100_000),
  },
  { additionalProperties: false },
);
const Content = Type.Object(
  {
    memory_overcommit: Type.Optional(Type.Number({ minimum: 0.1, maximum: 100 })),
    sizes: Type.Optional(Type.Record(Type.String(), OwnSize)),
  },
  { additionalProperties: false },
);
const FileContent = Compile(Content);
const NAME = /^[A-Za-z0-9][A-Za-z0-9-]{0,31}$/;
/** Whose limits a new size has where it says none. */
const MODEL = "Standard-1X";

type OwnSize = Static<typeof OwnSize>;

/** Heroku's catalogue with the operator's file laid over it. Throws a sentence that names the first field that cannot be. */
export function parseSizes(text: string): SizeCatalogue {
  const value = parsed(text);
  if (!FileContent.Check(value)) throw new Error(complaint(value));
  const sizes = Object.entries(value.sizes ?? {}).reduce(withOwn, HEROKU_SIZES);
  return { sizes, memoryOvercommit: value.memory_overcommit ?? MEMORY_OVERCOMMIT };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`it is not JSON: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** `sizes/Small/memory_mb: must be >= 32` */
function complaint(value: unknown): string {
  const [error] = FileContent.Errors(value);
  const params: unknown = error?.params;
  const extra = typeof params === "object" && params !== null ? Reflect.get(params, "additionalProperties") : undefined;
  const unknown = Array.isArray(extra) ? ` (${extra.join(", ")})` : "";
  return `${error?.instancePath.slice(1) ?? ""}: ${error?.message ?? "not as it should be"}${unknown}`;
}

function withOwn(sizes: readonly DynoSize[], [name, own]: readonly [string, OwnSize]): readonly DynoSize[] {
  const at = `sizes/${name}`;
  if (!NAME.test(name)) throw new Error(`${at}: a name has 1 to 32 letters, digits and dashes`);
  if (name.toLowerCase() === BUILD_SIZE.name.toLowerCase()) throw new Error(`${at}: the size of builds is fixed`);
  const same = ({ name: other }: DynoSize) => other.toLowerCase() === name.toLowerCase();
  const before = sizes.find(same);
  const base = before ?? sizes.find((each) => each.name === MODEL);
  if (base === undefined) throw new Error(`there is no size ${MODEL}`);
  if (before === undefined && own.memory_mb === undefined) throw new Error(`${at}/memory_mb: a new size must say it`);
  const made = sizeOf(before?.name ?? name, base, own);
  if (made.memoryCeilingMb < made.memoryMb)
    throw new Error(`${at}/memory_ceiling_mb: ${made.memoryCeilingMb} is less than memory_mb, ${made.memoryMb}`);
  return before === undefined ? [...sizes, made] : sizes.map((each) => (same(each) ? made : each));
}

function sizeOf(name: string, base: DynoSize, own: OwnSize): DynoSize {
  const memoryMb = own.memory_mb ?? base.memoryMb;
  return {
    ...base,
    name,
    memoryMb,
    memoryCeilingMb: own.memory_ceiling_mb ?? (own.memory_mb === undefined ? base.memoryCeilingMb : 2 * memoryMb),
    swapMb: own.swap_mb ?? base.swapMb,
    cpuShares: own.cpu_shares ?? base.cpuShares,
    cpuPercentMax: own.cpu_percent_max ?? base.cpuPercentMax,
    pidsMax: own.processes ?? base.pidsMax,
    diskMb: own.disk_mb ?? base.diskMb,
    io: {
      readMbPerSecond: own.read_mb_per_second ?? base.io.readMbPerSecond,
      writeMbPerSecond: own.write_mb_per_second ?? base.io.writeMbPerSecond,
      readOpsPerSecond: own.read_ops_per_second ?? base.io.readOpsPerSecond,
      writeOpsPerSecond: own.write_ops_per_second ?? base.io.writeOpsPerSecond,
    },
    network: {
      inMbit: own.network_in_mbit ?? base.network.inMbit,
      outMbit: own.network_out_mbit ?? base.network.outMbit,
    },
  };
}
