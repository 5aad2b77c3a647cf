import type { Engine, ObservedDyno } from "../engine/engine.ts";

/** When more apps ask at once, one look at all of them is cheaper. */
const SINGLE_MAX = 4;

/** One look at all of the engine for every app that asks meanwhile. */
export class Observer {
  readonly #engine: Engine;
  #running: Promise<unknown> | undefined;
  #waiting: Promise<Observed> | undefined;
  /** The app of each dyno that was seen. */
  #apps = new Map<string, string>();
  /** Looks at one app that are under way. */
  #single = 0;

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
      this.#apps = new Map([...observed].flatMap(([appId, dynos]) => dynos.map(({ id }) => [id, appId] as const)));
      return observed;
    };
    // The body runs up to its first wait at once, when nothing else is running: then nobody can join any more.
    const waiting = Promise.resolve().then(look);
    this.#waiting = waiting;
    this.#running = waiting;
    return waiting;
  }

  /** What the engine knows of one app, from a call that begins after this one: its cost does not grow with other apps. */
  async freshOf(appId: string): Promise<readonly ObservedDyno[]> {
    if (this.#waiting !== undefined || this.#single >= SINGLE_MAX) return (await this.fresh()).get(appId) ?? [];
    this.#single++;
    try {
      const observed = (await this.#engine.list(appId)).filter((dyno) => dyno.appId === appId);
      for (const { id } of observed) this.#apps.set(id, appId);
      return observed;
    } finally {
      this.#single--;
    }
  }

  /** A dyno that will be seen soon: hints about it then name its app at once. */
  expect(dynoId: string, appId: string): void {
    this.#apps.set(dynoId, appId);
  }

  /** The app of a dyno that was seen or is expected. */
  appOf(dynoId: string): string | undefined {
    return this.#apps.get(dynoId);
  }
}

export type Observed = ReadonlyMap<string, readonly ObservedDyno[]>;
