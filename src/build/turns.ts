import { addAbortListener } from "../lib/abort.ts";

/** One turn after the other for each key, in the order in which they were asked for. */
export class Turns {
  readonly #taken = new Map<string, (() => void)[]>();

  isTaken(key: string): boolean {
    return this.#taken.has(key);
  }

  /** How many wait behind the one whose turn it is. */
  waiting(key: string): number {
    return this.#taken.get(key)?.length ?? 0;
  }

  /** The turn, if nobody has it. */
  tryTake(key: string): Turn | undefined {
    if (this.#taken.has(key)) return undefined;
    this.#taken.set(key, []);
    return new Turn(() => this.#next(key));
  }

  /** Waits for the turn. Rejects with the signal's reason. */
  async take(key: string, signal: AbortSignal): Promise<Turn> {
    signal.throwIfAborted();
    const free = this.tryTake(key);
    if (free) return free;
    const queue = this.#taken.get(key) ?? [];
    const mine = Promise.withResolvers<void>();
    queue.push(mine.resolve);
    using _left = addAbortListener(signal, () => {
      const at = queue.indexOf(mine.resolve);
      if (at < 0) return; // its turn came first
      queue.splice(at, 1);
      mine.reject(signal.reason);
    });
    await mine.promise;
    return new Turn(() => this.#next(key));
  }

  #next(key: string): void {
    const next = this.#taken.get(key)?.shift();
    if (next) next();
    else this.#taken.delete(key);
  }
}

export class Turn implements Disposable {
  #end: (() => void) | undefined;

  constructor(end: () => void) {
    this.#end = end;
  }

  /** Once; later calls do nothing. */
  [Symbol.dispose](): void {
    const end = this.#end;
    this.#end = undefined;
    end?.();
  }
}
