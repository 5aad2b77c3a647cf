import type { SeccompRule } from "./seccomp.ts";

/**
 * No filter of a dyno's own, neither on a socket nor on itself. The kernel makes machine code of each, and all code of the machine
 * (`net.core.bpf_jit_limit`, 504 MiB) is a quarter of what it may hold, counted for nobody: 11,150 sockets of one dyno with 4000 instructions each, 46 KiB of
 * code and 37 KiB of the dyno's memory, are all of it. Then no container of the machine gets its seccomp filter (errno 524), and none starts.
 *
 * A filter cannot say "not", so: allowed is what differs in one bit. Compared are the lower 32 bits, which is all that the kernel reads.
 */
export function noBpfRules(): readonly SeccompRule[] {
  const isSocketLevel = lower(LEVEL, SOL_SOCKET);
  return [
    ...differing(["setsockopt"], LEVEL, SOL_SOCKET, 9), // the highest level there is: 286, SOL_SMC
    ...OTHER_OPTIONS.map(([value, count]) => allow(["setsockopt"], isSocketLevel, lower(OPTION, value, count))),
    ...FILTER_OPTIONS.map((value) => refuse(["setsockopt"], ENOPROTOOPT, isSocketLevel, lower(OPTION, value))),
    ...differing(["prctl"], 0, PR_SET_SECCOMP, 8), // no other option has its lowest byte
    refuse(["prctl"], EINVAL, lower(0, PR_SET_SECCOMP)), // what a kernel without such filters says
    allow(["seccomp"], lower(0, SECCOMP_GET_ACTION_AVAIL, 2)), // and GET_NOTIF_SIZES
    refuse(["seccomp"], EINVAL, lower(0, SECCOMP_SET_MODE_STRICT, 2)), // and SET_MODE_FILTER
  ];
}

const EINVAL = 22;
const ENOPROTOOPT = 92;
/** Arguments of `setsockopt`. */
const LEVEL = 1;
const OPTION = 2;
const SOL_SOCKET = 1;
/** SO_ATTACH_FILTER, SO_ATTACH_BPF, SO_ATTACH_REUSEPORT_CBPF and _EBPF. */
const FILTER_OPTIONS = [26, 50, 51, 52];
/** All others below 128 (the highest there is: 83): the first, and how many, a power of two. */
const OTHER_OPTIONS = [
  [0, 16],
  [16, 8],
  [24, 2],
  [27, 1],
  [28, 4],
  [32, 16],
  [48, 2],
  [53, 1],
  [54, 2],
  [56, 8],
  [64, 64],
] as const;
const PR_SET_SECCOMP = 22;
const SECCOMP_SET_MODE_STRICT = 0;
const SECCOMP_GET_ACTION_AVAIL = 2;

interface Condition {
  readonly index: number;
  readonly value: number;
  readonly valueTwo: number;
  readonly op: "SCMP_CMP_MASKED_EQ";
}

/** Whether an argument's lower 32 bits are `value`, or one of so many from there on. */
function lower(index: number, value: number, count = 1): Condition {
  return { index, value: (0xffffffff & ~(count - 1)) >>> 0, valueTwo: value, op: "SCMP_CMP_MASKED_EQ" };
}

/** Allows whatever differs from `value` in one of the lowest so many bits. */
function differing(names: readonly string[], index: number, value: number, bits: number): readonly SeccompRule[] {
  return Array.from({ length: bits }, (_, at) => (1 << at) >>> 0).map((bit) =>
    allow(names, { index, value: bit, valueTwo: ((value & bit) ^ bit) >>> 0, op: "SCMP_CMP_MASKED_EQ" }),
  );
}

const allow = (names: readonly string[], ...args: readonly Condition[]): SeccompRule => ({
  names,
  action: "SCMP_ACT_ALLOW",
  args,
});

const refuse = (names: readonly string[], errnoRet: number, ...args: readonly Condition[]): SeccompRule => ({
  names,
  action: "SCMP_ACT_ERRNO",
  errnoRet,
  args,
});
