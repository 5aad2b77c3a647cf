/** Lets a few work at a time, in the order they came; who wants another turn goes to the end of the line. */
export class Turns<T> {
  readonly #free: T[];
  readonly #line: ((thing: T) => void)[] = [];

  /** Each turn has one of `things` for itself. */
  constructor(things: readonly T[]) {
    this.#free = [...things];
  }

  async take(): Promise<{ readonly thing: T } & Disposable> {
    const thing = this.#free.pop() ?? (await new Promise<T>((resolve) => this.#line.push(resolve)));
    return { thing, [Symbol.dispose]: () => this.#give(thing) };
  }

  #give(thing: T): void {
    const next = this.#line.shift();
    if (next) next(thing);
    else this.#free.push(thing);
  }
}
