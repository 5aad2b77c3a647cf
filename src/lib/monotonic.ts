/** CLOCK_MONOTONIC in milliseconds, to the microsecond: the same in every process of the machine, and never set back. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}
