import type { Clock, Instant } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { Nudge } from "../lib/nudge.ts";
import { within } from "../lib/within.ts";
import type { LogSink } from "../logs/line.ts";
import type { Instance } from "../model/instance.ts";
import type { Store } from "../store/store.ts";
import type { Routing } from "../supervisor/supervision.ts";
import { routeOf } from "./app-route.ts";
import { RequestLog } from "./request-log.ts";
import type { AppRequests, RequestReader } from "./request-metrics.ts";
import { routeOptionsOf } from "./route-options.ts";
import { type AppRoute, LEAVE_MS, type RouteOptions, type RouteTarget } from "./routes.ts";

/** A target that can tell when it has come back, and may know nothing of what it was told before. */
export interface ReturningTarget extends RouteTarget {
  onReturn?(listener: () => void): Disposable;
}

export interface RouterOptions {
  readonly store: Pick<
    Store,
    "apps" | "domains" | "formation" | "dynos" | "releases" | "routing" | "features" | "config" | "onChange"
  >;
  readonly target: ReturningTarget;
  readonly logs: LogSink;
  readonly instance: { readonly paths: Pick<Instance["paths"], "daemonRun" | "run"> };
  readonly clock: Clock;
  readonly logger: Logger;
}

const RESYNC_MS = 30_000;
/** Apps that are looked at again each time; of more, these are the next in turn. */
const RESYNC_APPS = 100;
const SETTLE_MS = 5_000;
const RETRY_MS = 200;
const RETRY_MS_MAX = 2_000;

/** Takes request lines, and tells the target what the store says of every app, now and whenever it changes. */
export async function startRouter(options: RouterOptions): Promise<Routing & RequestReader & AsyncDisposable> {
  const { store, logs, instance, clock, logger } = options;
  const requests = await RequestLog.open({
    instance,
    logs,
    nameOf: async (appId, dynoId) => {
      const dyno = await store.dynos.byId(dynoId);
      return dyno?.appId === appId ? dyno.name : undefined;
    },
    clock,
    logger,
  });
  return new Router(options, requests);
}

/** Where the telling of one app stands. */
interface Telling {
  /** Counts the changes; what was told began after `told` of them. */
  changes: number;
  told: number;
  working: boolean;
  /** What the target has, as far as we know. */
  route: string | undefined;
  readonly waiters: Set<() => void>;
}

class Router implements Routing, RequestReader, AsyncDisposable {
  readonly #options: RouterOptions;
  readonly #requests: RequestLog;
  readonly #closed = new AbortController();
  readonly #apps = new Map<string, Telling>();
  readonly #working = new Set<Promise<void>>();
  readonly #resync = new Nudge();
  /** The target may know nothing: everything is told. */
  #isNew = true;
  #turn = 0;
  readonly #listeners = new DisposableStack();
  readonly #loop: Promise<void>;

  constructor(options: RouterOptions, requests: RequestLog) {
    this.#options = options;
    this.#requests = requests;
    this.#listeners.use(options.store.onChange((appId) => this.#changed(appId)));
    const returns = options.target.onReturn?.(() => {
      this.#isNew = true;
      this.#resync.ring();
    });
    if (returns !== undefined) this.#listeners.use(returns);
    this.#loop = this.#keepInSync();
  }

  async settle(appId: string): Promise<void> {
    const { clock, target, logger } = this.#options;
    const telling = this.#changed(appId);
    const count = telling.changes;
    const done = new AbortController();
    const check = (): void => {
      if (telling.told >= count) done.abort();
    };
    telling.waiters.add(check);
    check();
    await clock.sleep(SETTLE_MS, done.signal).catch(() => {}); // done
    telling.waiters.delete(check);
    if (!done.signal.aborted) throw new Error(`the router has not taken the route of app ${appId} in time`);
    await within(clock, LEAVE_MS + SETTLE_MS, "router", target.untilLeft(appId)).catch((error: unknown) => {
      logger.warn("router.leave_unseen", { appId, error }); // a stop is not put off for it
    });
  }

  requestsOf(appId: string): AppRequests {
    return this.#requests.requestsOf(appId);
  }

  lastRequestAt(appId: string): Instant | undefined {
    return this.#requests.lastRequestAt(appId);
  }

  get linesLost(): number {
    return this.#requests.linesLost;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listeners.dispose();
    this.#closed.abort();
    await this.#loop;
    await Promise.all(this.#working);
    await this.#requests[Symbol.asyncDispose]();
  }

  /** Tells again from time to time: a change may have been lost on either side. */
  async #keepInSync(): Promise<void> {
    const { clock, logger } = this.#options;
    const closed = this.#closed.signal;
    while (!closed.aborted) {
      try {
        await this.#tellAgain();
        await this.#resync.wait(RESYNC_MS, closed, clock);
      } catch (error) {
        if (closed.aborted) return;
        logger.warn("router.resync_failed", { error });
        await this.#resync.wait(RETRY_MS_MAX, closed, clock);
      }
    }
  }

  /** Everything to a target that is new; else what it lacks or has too much, and the next apps in turn. */
  async #tellAgain(): Promise<void> {
    const { store, target } = this.#options;
    const all = this.#isNew;
    this.#isNew = false;
    try {
      const known = new Set(await target.listRoutes());
      const apps = (await store.apps.list()).map(({ id }) => id);
      const there = new Set(apps);
      const odd = [...apps.filter((id) => !known.has(id)), ...[...known].filter((id) => !there.has(id))];
      for (const appId of new Set([...odd, ...(all ? apps : this.#nextInTurn(apps))])) {
        const telling = this.#apps.get(appId);
        if (telling !== undefined) telling.route = undefined;
        this.#changed(appId);
      }
    } catch (error) {
      this.#isNew ||= all;
      throw error;
    }
  }

  #nextInTurn(apps: readonly string[]): readonly string[] {
    const from = this.#turn < apps.length ? this.#turn : 0;
    this.#turn = from + RESYNC_APPS;
    return apps.slice(from, this.#turn);
  }

  #changed(appId: string): Telling {
    let telling = this.#apps.get(appId);
    if (telling === undefined) {
      telling = { changes: 0, told: 0, working: false, route: undefined, waiters: new Set() };
      this.#apps.set(appId, telling);
    }
    telling.changes++;
    if (!telling.working && !this.#closed.signal.aborted) {
      telling.working = true;
      const work = this.#tell(appId, telling).finally(() => this.#working.delete(work));
      this.#working.add(work);
    }
    return telling;
  }

  /** Tells one app's changes, in order, gathered, until there are none left. */
  async #tell(appId: string, telling: Telling): Promise<void> {
    const { clock, logger } = this.#options;
    const closed = this.#closed.signal;
    let wait = RETRY_MS;
    while (telling.told < telling.changes && !closed.aborted) {
      const count = telling.changes;
      try {
        await this.#tellOnce(appId, telling);
        telling.told = count;
        wait = RETRY_MS;
        for (const check of telling.waiters) check();
      } catch (error) {
        telling.route = undefined;
        if (!closed.aborted) logger.warn("router.tell_failed", { appId, error });
        await clock.sleep(wait, closed).catch(() => {}); // closed
        wait = Math.min(RETRY_MS_MAX, wait * 2);
      }
    }
    telling.working = false;
  }

  async #tellOnce(appId: string, telling: Telling): Promise<void> {
    const { target } = this.#options;
    const route = await this.#routeOf(appId);
    if (route === undefined) {
      await target.removeRoute(appId);
      telling.route = undefined;
      return;
    }
    const text = JSON.stringify(route);
    if (telling.route === text) return;
    await target.setRoute(route);
    telling.route = text;
  }

  async #routeOf(appId: string): Promise<AppRoute | undefined> {
    const { store } = this.#options;
    const app = await store.apps.byId(appId);
    if (app === undefined) return undefined;
    const [domains, formation, dynos, current, options] = await Promise.all([
      store.domains.list(appId),
      store.formation.list(appId),
      store.dynos.list(appId),
      app.currentReleaseId === null ? undefined : store.releases.byId(app.currentReleaseId),
      this.#optionsOf(appId),
    ]);
    return routeOf({ app, domains, formation, dynos, current, options });
  }

  async #optionsOf(appId: string): Promise<RouteOptions | undefined> {
    const { store } = this.#options;
    const [settings, users, features, vars] = await Promise.all([
      store.routing.get(appId),
      store.routing.users(appId),
      store.features.list(appId),
      store.config.get(appId),
    ]);
    return routeOptionsOf({ settings, users, features, vars });
  }
}
