import type { Peers } from "./peers.ts";
import type { BenchApp } from "./rig.ts";

/** What a row is measured with. */
export interface Bench {
  readonly app: BenchApp;
  readonly peers: Peers;
  /** How often what is quick is done. */
  readonly rounds: number;
}
