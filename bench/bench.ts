import type { Peers } from "./peers.ts";
import type { BenchApp } from "./rig.ts";

/** What a row is measured with. */
export interface Bench {
  readonly app: BenchApp;
  /** Path of the program that dynos and containers run. */
  readonly tick: string;
  readonly peers: Peers;
  /** How often what is quick is done. */
  readonly rounds: number;
}
