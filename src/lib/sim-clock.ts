import type { Clock, Instant } from "./clock.ts";

/** A clock that stands still until told to move. Time and timers are its own: no test waits, and a seed decides everything. */
export class SimClock implements Clock {
  #elapsed: number;
  /** What the wall clock is off by: set by `jump`, which moves no timer. */
  #offset = 0;
  #order = 0;
  readonly #timers = new Set<Timer>();

  constructor(start: Instant = Date.UTC(2026, 0, 1)) {
    this.#elapsed = start;
  }

  now(): Instant {
    return this.#elapsed + this.#offset;
  }

  /** Time that has passed, jumps of the wall clock left out. */
  get elapsed(): number {
    return this.#elapsed;
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const timer: Timer = { at: this.#elapsed + Math.max(0, ms), order: this.#order++, fire };
      const timers = this.#timers;
      timers.add(timer);
      signal.addEventListener("abort", aborted, { once: true });
      function fire(): void {
        signal.removeEventListener("abort", aborted);
        resolve();
      }
      function aborted(): void {
        timers.delete(timer);
        reject(signal.reason);
      }
    });
  }

  /** Sets the wall clock forward, or back; sleepers sleep on as long as they meant to. */
  jump(ms: number): void {
    this.#offset += ms;
  }

  /**
   * Lets `ms` pass, timer by timer. Before each, everything that can run without waiting has run; `each` is called then.
   */
  async advance(ms: number, each: () => void | Promise<void> = () => {}): Promise<void> {
    const until = this.#elapsed + ms;
    for (;;) {
      await settle();
      await each();
      const next = this.#next();
      if (next === undefined || next.at > until) break;
      this.#timers.delete(next);
      this.#elapsed = next.at;
      next.fire();
    }
    this.#elapsed = until;
  }

  #next(): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) {
      if (!first || timer.at < first.at || (timer.at === first.at && timer.order < first.order)) first = timer;
    }
    return first;
  }
}

interface Timer {
  readonly at: Instant;
  readonly order: number;
  readonly fire: () => void;
}

/** Resolves once every promise that can be resolved without outside help has been. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
