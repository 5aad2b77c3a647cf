import type { Clock, Instant } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { LogSink } from "../logs/line.ts";
import type { App } from "../model/app.ts";
import { routedDynos } from "../model/dyno.ts";
import type { Instance } from "../model/instance.ts";
import { sleepAfterMs } from "../model/sleep.ts";
import type { RouteTarget } from "../router/routes.ts";
import type { Store } from "../store/store.ts";
import type { Supervision } from "../supervisor/supervision.ts";
import { WakeSocket } from "./wake-socket.ts";

export interface SleeperOptions {
  readonly store: Pick<Store, "apps" | "formation" | "dynos">;
  readonly supervision: Pick<Supervision, "idleDynos">;
  /** When the latest request of an app ended, of those since the daemon started. */
  readonly requests: { lastRequestAt(appId: string): Instant | undefined };
  readonly target: Pick<RouteTarget, "isBusy">;
  readonly sink: LogSink;
  readonly instance: { readonly paths: Pick<Instance["paths"], "daemonRun"> };
  readonly clock: Clock;
  readonly logger: Logger;
}

const LOOK_MS = 15_000;

/**
 * Puts apps to sleep that nobody asks for (spec 10.3), and wakes them when somebody does. What sleep means is the supervisor's and the
 * router's to know: an app that sleeps has no dynos, and HAProxy holds its requests and says so.
 */
export class Sleeper implements AsyncDisposable {
  readonly #options: SleeperOptions;
  readonly #stop = new AbortController();
  /** Requests of before were another daemon's to see. */
  readonly #since: Instant;
  /** When an app was last seen with a request or an upgraded connection open that was to be put to sleep. */
  readonly #busyAt = new Map<string, Instant>();
  readonly #waking = new Map<string, Promise<void>>();
  readonly #socket: WakeSocket;
  readonly #watch: Promise<void>;

  static async open(options: SleeperOptions): Promise<Sleeper> {
    const woken: { by?: (appId: string) => void } = {};
    const socket = await WakeSocket.open(options.instance, (appId) => woken.by?.(appId), options.logger);
    const sleeper = new Sleeper(options, socket);
    woken.by = (appId) => sleeper.#heard(appId);
    return sleeper;
  }

  private constructor(options: SleeperOptions, socket: WakeSocket) {
    this.#options = options;
    this.#socket = socket;
    this.#since = options.clock.now();
    this.#watch = this.#watchOver();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#socket[Symbol.asyncDispose]();
    await Promise.all([this.#watch, ...this.#waking.values()]);
  }

  /** Does nothing for an app that is awake, or gone. */
  async wake(appId: string): Promise<void> {
    const { store, supervision, sink, clock } = this.#options;
    const idle = await supervision.idleDynos(appId);
    if (!(await store.apps.wake(appId))) return;
    const at = clock.now();
    for (const { name } of idle)
      for (const text of ["Unidling", "State changed from down to starting"])
        sink.append(appId, { at, source: "heroku", process: name, text });
  }

  /** HAProxy says it every second while a request waits. */
  #heard(appId: string): void {
    if (this.#waking.has(appId) || this.#stop.signal.aborted) return;
    const waking = this.wake(appId)
      .catch((error: unknown) => this.#options.logger.warn("app.wake_failed", { appId, error }))
      .finally(() => this.#waking.delete(appId));
    this.#waking.set(appId, waking);
  }

  async #watchOver(): Promise<void> {
    const { clock, logger } = this.#options;
    const { signal } = this.#stop;
    for (;;) {
      await clock.sleep(LOOK_MS, signal).catch(() => {}); // stopped
      if (signal.aborted) return;
      await this.#look().catch((error: unknown) => logger.warn("apps.sleep_failed", { error }));
    }
  }

  async #look(): Promise<void> {
    const { store, clock } = this.#options;
    const apps = await store.apps.sleepers();
    const there = new Set(apps.map(({ id }) => id));
    for (const id of this.#busyAt.keys()) if (!there.has(id)) this.#busyAt.delete(id);
    for (const app of apps) {
      if (this.#stop.signal.aborted) return;
      if (!(await this.#isDue(app))) continue;
      if (await this.#options.target.isBusy(app.id)) this.#busyAt.set(app.id, clock.now());
      else await store.apps.sleep(app.id);
    }
  }

  /** Whether one of its web dynos has been up for so long, and none of its requests ended since. */
  async #isDue(app: App): Promise<boolean> {
    const { store, requests, clock } = this.#options;
    const afterMs = sleepAfterMs(app, await store.formation.list(app.id));
    if (afterMs === null) return false;
    const up = routedDynos(await store.dynos.list(app.id), app.currentReleaseId);
    if (up.length === 0) return false;
    const seen = [requests.lastRequestAt(app.id), this.#busyAt.get(app.id), ...up.map(({ stateSince }) => stateSince)];
    const latest = Math.max(this.#since, ...seen.map((at) => at ?? 0));
    return clock.now() - latest >= afterMs;
  }
}
