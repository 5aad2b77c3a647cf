import { killsOf } from "./usage-counters.ts";

/**
 * Whether the kernel may have killed a process for its memory since the last look, anywhere on the machine: one file instead of one
 * for each dyno. A dyno's own count follows the machine's by an instant, so a change is told at two looks. `unknown`: this
 * kernel does not count.
 */
export class MemoryKills {
  readonly #read: () => string | undefined;
  #seen: number | undefined;
  #isFresh = false;

  /** `read`: gives `/proc/vmstat`. */
  constructor(read: () => string | undefined) {
    this.#read = read;
  }

  /** The first look says `some`: nobody knows what was before. */
  look(): "none" | "some" | "unknown" {
    const count = killsOf(this.#read() ?? "");
    if (count === undefined) return "unknown";
    const was = this.#isFresh;
    this.#isFresh = count !== this.#seen;
    this.#seen = count;
    return this.#isFresh || was ? "some" : "none";
  }
}
