import type { SupervisorStore } from "./parts.ts";

export interface Lifetime {
  readonly callsLeft?: number;
  readonly insideLeft?: number;
}

/**
 * One life of the daemon. Once it is dead none of its calls takes effect or returns, as if the process had been killed
 * between two instructions; `callsLeft` chooses which two, or `insideLeft`, which counts only calls inside transactions.
 */
export class Life {
  #callsLeft: number;
  #insideLeft: number;
  isDead = false;

  constructor({ callsLeft = Number.POSITIVE_INFINITY, insideLeft = Number.POSITIVE_INFINITY }: Lifetime = {}) {
    this.#callsLeft = callsLeft;
    this.#insideLeft = insideLeft;
  }

  die(): void {
    this.isDead = true;
  }

  /** `target`, whose methods this life calls. */
  wrap<T extends object>(target: T): T {
    return this.#proxy(target, (call) => this.#guarded(call));
  }

  /** The store: calls fail on demand, and a transaction of a life that has ended is rolled back. */
  store(target: SupervisorStore, fails: () => "before" | "after" | undefined): SupervisorStore {
    const transaction = async <T>(body: (store: SupervisorStore) => Promise<T>): Promise<T> => {
      const failure = fails();
      if (failure === "before") throw new Error("the store failed before");
      const result = await target.transaction(async (inside) => {
        const value = await body(this.#inside(inside));
        this.#throwIfDead();
        return value;
      });
      if (failure === "after") throw new Error("the store failed after");
      return result;
    };
    return {
      ...this.#parts(target, (call) => this.#guarded(call)),
      transaction: (body) => this.#guarded(() => transaction(body)),
    };
  }

  #inside(target: SupervisorStore): SupervisorStore {
    const refuse = <R>(call: () => R): R => {
      this.#step();
      if (--this.#insideLeft <= 0) this.die();
      this.#throwIfDead();
      return call();
    };
    return { ...this.#parts(target, refuse), transaction: () => Promise.reject(new Error("nested")) };
  }

  #parts(target: SupervisorStore, around: Around): Omit<SupervisorStore, "transaction"> {
    const part = <T extends object>(of: T) => this.#proxy(of, around);
    return {
      users: part(target.users),
      apps: part(target.apps),
      domains: part(target.domains),
      slugs: part(target.slugs),
      releases: part(target.releases),
      formation: part(target.formation),
      dynos: part(target.dynos),
      checks: part(target.checks),
      onChange: (listener) => target.onChange((appId) => void (this.isDead || listener(appId))),
    };
  }

  #proxy<T extends object>(target: T, around: Around): T {
    return new Proxy(target, {
      get: (_, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== "function") return member;
        return (...args: unknown[]) => {
          // A listener of the dead hears nothing.
          const living = args.map((arg) =>
            typeof arg === "function" ? this.#mute(arg as (...args: unknown[]) => unknown) : arg,
          );
          return around(() => Reflect.apply(member, target, living) as unknown);
        };
      },
    });
  }

  #mute(listener: (...args: unknown[]) => unknown): (...args: unknown[]) => unknown {
    return (...args) => (this.isDead ? undefined : listener(...args));
  }

  #guarded<R>(call: () => R): R {
    this.#step();
    if (this.isDead) return never() as R; // who is dead does not look at what it gets
    const result = call();
    if (!(result instanceof Promise)) return result;
    const outlived = (async () => {
      const [end] = await Promise.allSettled([result as Promise<unknown>]);
      this.#step();
      if (this.isDead) return never();
      if (end.status === "rejected") throw end.reason;
      return end.value;
    })();
    return outlived as R; // what `call` promised, or nothing ever
  }

  #step(): void {
    if (--this.#callsLeft <= 0) this.isDead = true;
  }

  #throwIfDead(): void {
    if (this.isDead) throw new Error("dead: its transaction is rolled back");
  }
}

type Around = <R>(call: () => R) => R;

function never(): Promise<never> {
  return new Promise(() => {});
}
