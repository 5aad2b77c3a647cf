import { addAbortListener } from "./abort.ts";
import { type Clock, systemClock } from "./clock.ts";

/** Nobody reads it; an error of its own for each ring would cost a stack. */
const RUNG = new Error("rung");

/** A bell that remembers one ring: `wait` returns at once if it rang since the last `wait`. */
export class Nudge {
  #rung = false;
  #wake: (() => void) | undefined;

  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  /** Forgets a ring: what it was about is looked at from now on. */
  clear(): void {
    this.#rung = false;
  }

  /** Resolves at the next ring, after `ms`, or on abort; never rejects. */
  async wait(ms: number, signal: AbortSignal, clock: Clock = systemClock): Promise<void> {
    if (!this.#rung && !signal.aborted) {
      const done = new AbortController();
      const end = () => done.abort(RUNG);
      this.#wake = end;
      using _aborted = addAbortListener(signal, end);
      await clock.sleep(ms, done.signal).catch(end); // aborted: rung, or the caller's signal
    }
    this.#rung = false;
    this.#wake = undefined;
  }
}
