import type { Engine, ObservedDyno } from "../engine/engine.ts";

/** One look at all of the engine for every app that asks meanwhile. */
export class Observer {
  readonly #engine: Engine;
  #running: Promise<unknown> | undefined;
  #waiting: Promise<Observed> | undefined;
  #latest: Observed = new Map();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** What the engine knows, by app, from a call that begins after this one. */
  fresh(): Promise<Observed> {
    if (this.#waiting !== undefined) return this.#waiting;
    const before = this.#running;
    const look = async (): Promise<Observed> => {
      await before?.catch(() => {}); // its own callers hear of it
      this.#waiting = undefined;
      const observed = Map.groupBy(await this.#engine.list(), ({ appId }) => appId);
      this.#latest = observed;
      return observed;
    };
    // The body runs up to its first wait at once, when nothing else is running: then nobody can join any more.
    const waiting = Promise.resolve().then(look);
    this.#waiting = waiting;
    this.#running = waiting;
    return waiting;
  }

  /** The app of a dyno that was seen in the latest look. */
  appOf(dynoId: string): string | undefined {
    for (const [appId, dynos] of this.#latest) {
      if (dynos.some(({ id }) => id === dynoId)) return appId;
    }
    return undefined;
  }
}

export type Observed = ReadonlyMap<string, readonly ObservedDyno[]>;
