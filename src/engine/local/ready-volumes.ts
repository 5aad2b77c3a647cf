import type { Clock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/logger.ts";
import { Nudge } from "../../lib/nudge.ts";

export interface ReadyOptions {
  /** How many are kept (default 4). */
  readonly count: number | undefined;
  /** Makes one of `READY_MB` and gives what it is found by. */
  readonly make: () => Promise<string>;
  /** Left by an earlier process. */
  readonly found: readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Volumes of this size are kept ready, since making one takes two programs or more. */
export const READY_MB = 2048;
const READY_COUNT = 4;
/** Nothing was taken or given back for so long: making more slows down nothing. */
const REFILL_AFTER_MS = 2000;
const LOOK_AGAIN_MS = 250;

/** Volumes with their limits that nobody took yet. */
export class ReadyVolumes implements AsyncDisposable {
  readonly #options: ReadyOptions;
  readonly #ready: string[];
  readonly #stop = new AbortController();
  readonly #taken = new Nudge();
  readonly #background: Promise<void>;
  #busyAt = 0;

  constructor(options: ReadyOptions) {
    this.#options = options;
    this.#ready = [...options.found];
    this.#background = this.#refill();
  }

  /** undefined: none is ready, or it would not fit. */
  take(sizeMb: number): string | undefined {
    const ready = sizeMb === READY_MB ? this.#ready.shift() : undefined;
    this.busy();
    this.#taken.ring();
    return ready;
  }

  /** Something is under way that more work would slow down. */
  busy(): void {
    this.#busyAt = this.#options.clock.now();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#background;
  }

  async #refill(): Promise<void> {
    const { signal } = this.#stop;
    const { count = READY_COUNT, make, clock, logger } = this.#options;
    while (!signal.aborted) {
      try {
        while (this.#ready.length < count && !signal.aborted && clock.now() - this.#busyAt >= REFILL_AFTER_MS)
          this.#ready.push(await make());
      } catch (error) {
        logger.error("store.refill_failed", { error });
      }
      if (this.#ready.length >= count) await this.#taken.wait(60_000, signal);
      await clock.sleep(LOOK_AGAIN_MS, signal).catch(() => {}); // aborted: the loop sees it
    }
  }
}
