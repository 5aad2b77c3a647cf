/** A bell that remembers one ring: `wait` returns at once if it rang since the last `wait`. */
export class Nudge {
  #rung = false;
  #wake: (() => void) | undefined;

  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  /** Resolves at the next ring, after `ms`, or on abort; never rejects. */
  wait(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (this.#rung || signal.aborted) return this.#done(resolve);
      const timer = setTimeout(finish, ms);
      const done = () => this.#done(resolve);
      this.#wake = finish;
      signal.addEventListener("abort", finish, { once: true });
      function finish(): void {
        clearTimeout(timer);
        signal.removeEventListener("abort", finish);
        done();
      }
    });
  }

  #done(resolve: () => void): void {
    this.#rung = false;
    this.#wake = undefined;
    resolve();
  }
}
