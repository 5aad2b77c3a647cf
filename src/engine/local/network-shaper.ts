import { CommandError, run } from "../../lib/command.ts";
import type { Logger } from "../../lib/logger.ts";
import { settled } from "../../lib/settled.ts";
import type { NetworkRates } from "../../model/size.ts";
import { type Layout, nameOf, netnsOf } from "./network-batch.ts";

/**
 * Holds each dyno's interface to its rates: a token bucket on the host's end for what goes to the dyno, and one on the dyno's
 * own end, which nobody inside can change, for what comes from it; a sender is slowed, nothing is dropped for it.
 * (Measured: 96.5 of 100 Mbit/s one way, 192 of 200 the other.) Namespaces get the usual rates when they are made, off the
 * path of a start; only a dyno of another size costs two programs at its start, beside its disk's making.
 */
export class Shaper {
  readonly #layout: Layout;
  readonly #logger: Logger;
  /** What is known of each namespace; nothing of those that an earlier process gave to a dyno. */
  readonly #rates = new Map<number, NetworkRates>();
  #works = true;

  constructor(layout: Layout, logger: Logger) {
    this.#layout = layout;
    this.#logger = logger;
  }

  /** Whether the interface is held to the rates from now on; false where the kernel cannot. */
  async apply(index: number, rates: NetworkRates): Promise<boolean> {
    const before = this.#rates.get(index);
    if (before?.inMbit === rates.inMbit && before.outMbit === rates.outMbit) return true;
    if (!this.#works) return false;
    this.#rates.delete(index);
    try {
      await settled([
        run("tc", qdisc(nameOf(this.#layout, index), rates.inMbit)),
        run("tc", ["-n", netnsOf(this.#layout, index), ...qdisc("eth0", rates.outMbit)]),
      ]);
      this.#rates.set(index, rates);
      return true;
    } catch (error) {
      if (!(error instanceof CommandError && isUnknown(error))) throw error;
      this.#works = false;
      const message = "Bandwidth of dynos is not limited: this kernel has no token bucket (module sch_tbf).";
      this.#logger.warn("network.bandwidth_unlimited", { message, error });
      return false;
    }
  }

  /** An earlier process gave this namespace these rates. */
  know(index: number, rates: NetworkRates): void {
    this.#rates.set(index, rates);
  }

  forget(index: number): void {
    this.#rates.delete(index);
  }
}

/** The kernel lacks it; any other failure, a namespace that is gone say, is one of this dyno's start. */
const isUnknown = ({ stderr }: CommandError): boolean =>
  /qdisc kind is unknown|RTNETLINK answers: No such file or directory/.test(stderr);

/** Packets are cut from pieces of up to 64 KiB, which a bucket must hold; and it is filled at least a hundred times a second. */
const BURST_BYTES_MIN = 256 * 1024;
const LATENCY = "100ms";

/** Arguments that replace an interface's queue by a token bucket. */
export function qdisc(device: string, mbit: number): readonly string[] {
  const burst = Math.max(BURST_BYTES_MIN, Math.ceil((mbit * 1_000_000) / 8 / 100));
  const bucket = ["tbf", "rate", `${mbit}mbit`, "burst", String(burst), "latency", LATENCY];
  return ["qdisc", "replace", "dev", device, "root", ...bucket];
}
