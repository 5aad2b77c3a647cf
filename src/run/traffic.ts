import type { Clock } from "../lib/clock.ts";

/** Without a byte in either direction for this long a connection is closed (spec 3.9). */
const IDLE_MS = 3_600_000;

/** When bytes last went either way. */
export class Traffic {
  readonly clock: Clock;
  #lastAt: number;

  constructor(clock: Clock) {
    this.clock = clock;
    this.#lastAt = clock.now();
  }

  get lastAt(): number {
    return this.#lastAt;
  }

  mark(): void {
    this.#lastAt = this.clock.now();
  }

  async endWhenIdle(over: AbortController): Promise<void> {
    for (;;) {
      const leftMs = this.#lastAt + IDLE_MS - this.clock.now();
      if (leftMs <= 0) return over.abort();
      if (!(await slept(this.clock, leftMs, over.signal))) return;
    }
  }
}

/** Whether the time passed before the signal. */
export async function slept(clock: Clock, ms: number, signal: AbortSignal): Promise<boolean> {
  return clock.sleep(ms, signal).then(
    () => true,
    () => false,
  );
}
