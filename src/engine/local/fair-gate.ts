import { addAbortListener } from "../../lib/abort.ts";
import type { Clock } from "../../lib/clock.ts";

export interface FairGateOptions {
  readonly atOnce: number;
  /** Of one key. */
  readonly eachAtOnce: number;
  /** At least this long from one begin to the next, of all keys together. */
  readonly gapMs: number;
  readonly clock: Clock;
}

interface Waiter {
  readonly begin: () => void;
}

/** Lets a number of calls run at once. Those that wait are let in key by key in turn, so that no key can hold up another. */
export class FairGate {
  readonly #options: FairGateOptions;
  /** The key whose turn it is comes first. */
  readonly #lines = new Map<string, Waiter[]>();
  readonly #running = new Map<string, number>();
  #active = 0;
  #isPausing = false;

  constructor(options: FairGateOptions) {
    this.#options = options;
  }

  /** Rejects with the signal's reason if that is aborted before its turn has come; then `body` was not called. */
  async run<T>(key: string, body: () => Promise<T>, signal: AbortSignal): Promise<T> {
    await this.#turn(key, signal);
    try {
      return await body();
    } finally {
      this.#active--;
      const left = (this.#running.get(key) ?? 0) - 1;
      if (left > 0) this.#running.set(key, left);
      else this.#running.delete(key);
      this.#letIn();
    }
  }

  async #turn(key: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const turn = Promise.withResolvers<void>();
    const waiter: Waiter = { begin: turn.resolve };
    const line = this.#lines.get(key) ?? [];
    this.#lines.set(key, line);
    line.push(waiter);
    using _aborted = addAbortListener(signal, () => {
      const index = line.indexOf(waiter);
      if (index < 0) return; // it runs
      line.splice(index, 1);
      if (line.length === 0) this.#lines.delete(key);
      turn.reject(signal.reason);
    });
    this.#letIn();
    await turn.promise;
  }

  #letIn(): void {
    while (!this.#isPausing && this.#active < this.#options.atOnce) {
      const key = [...this.#lines.keys()].find((each) => (this.#running.get(each) ?? 0) < this.#options.eachAtOnce);
      if (key === undefined) return;
      const line = this.#lines.get(key) ?? [];
      const waiter = line.shift();
      this.#lines.delete(key); // and to the end, if there are more
      if (line.length > 0) this.#lines.set(key, line);
      this.#active++;
      this.#running.set(key, (this.#running.get(key) ?? 0) + 1);
      if (this.#options.gapMs > 0) void this.#pause();
      waiter?.begin();
    }
  }

  async #pause(): Promise<void> {
    this.#isPausing = true;
    await this.#options.clock.sleep(this.#options.gapMs, new AbortController().signal);
    this.#isPausing = false;
    this.#letIn();
  }
}
