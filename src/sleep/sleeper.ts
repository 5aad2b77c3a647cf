import type { Clock, Instant } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { LogSink } from "../logs/line.ts";
import type { App } from "../model/app.ts";
import { routedDynos } from "../model/dyno.ts";
import type { Instance } from "../model/instance.ts";
import { sleepAfterMs } from "../model/sleep.ts";
import type { RouteTarget } from "../router/routes.ts";
import type { AppStore, DynoStore, FormationStore } from "../store/store.ts";
import type { Supervision } from "../supervisor/supervision.ts";
import { WakeSocket } from "./wake-socket.ts";

/** What the sleeper needs of the store; `Store` has it. */
export interface SleeperStore {
  readonly apps: Pick<AppStore, "byId" | "sleepers" | "sleep" | "wake">;
  readonly formation: Pick<FormationStore, "list">;
  readonly dynos: Pick<DynoStore, "list">;
  transaction<T>(body: (store: SleeperStore) => Promise<T>): Promise<T>;
}

export interface SleeperOptions {
  readonly store: SleeperStore;
  readonly supervision: Pick<Supervision, "idleDynos">;
  /** When the latest request of an app ended, of those since the daemon started. */
  readonly requests: { lastRequestAt(appId: string): Instant | undefined };
  readonly target: Pick<RouteTarget, "isBusy">;
  /** Whether somebody has a session in the dyno. */
  readonly sessions: { isIn(dynoId: string): boolean };
  readonly sink: LogSink;
  readonly instance: { readonly paths: Pick<Instance["paths"], "daemonRun"> };
  readonly clock: Clock;
  /** Milliseconds that nobody sets: `monotonicMs`. */
  readonly monotonicMs: () => number;
  readonly logger: Logger;
}

const LOOK_MS = 15_000;
const CLOCK_SLACK_MS = 5_000;

/**
 * Puts apps to sleep that nobody asks for (spec 10.3), and wakes them when somebody does. What sleep means is the supervisor's and the
 * router's to know: an app that sleeps has no dynos, and HAProxy holds its requests and says so.
 */
export class Sleeper implements AsyncDisposable {
  readonly #options: SleeperOptions;
  readonly #stop = new AbortController();
  /** Requests of before were another daemon's to see, or came by another setting of the clock. */
  #since: Instant;
  /** The wall clock less the monotonic one, when last read. */
  #offsetMs: number;
  /** When an app was last seen with a session in one of its dynos, or, where it was due, with a request or an upgraded connection open. */
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
    this.#offsetMs = this.#since - options.monotonicMs();
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
    const { store, logger } = this.#options;
    const apps = await store.apps.sleepers();
    const there = new Set(apps.map(({ id }) => id));
    for (const id of this.#busyAt.keys()) if (!there.has(id)) this.#busyAt.delete(id);
    const errors: unknown[] = [];
    for (const app of apps) {
      if (this.#stop.signal.aborted) return;
      await this.#sleepIfDue(app).catch((error: unknown) => errors.push(error));
    }
    if (errors.length > 0) logger.warn("apps.sleep_failed", { apps: errors.length, error: errors[0] });
  }

  async #sleepIfDue(app: App): Promise<void> {
    const { store, target } = this.#options;
    if (!(await this.#isDue(app, store))) return;
    if (await target.isBusy(app.id)) {
      this.#busyAt.set(app.id, this.#now());
      return;
    }
    // That may have taken seconds, in which people went on.
    await store.transaction(async (inside) => {
      const now = await inside.apps.byId(app.id);
      if (now === undefined || now.asleepSince !== null || now.maintenance) return;
      if (await this.#isDue(now, inside)) await inside.apps.sleep(now.id);
    });
  }

  /** Whether one of its web dynos has been up for so long, and since then none was started or stopped and no request has ended. */
  async #isDue(app: App, store: Pick<SleeperStore, "formation" | "dynos">): Promise<boolean> {
    const afterMs = sleepAfterMs(app, await store.formation.list(app.id));
    if (afterMs === null) return false;
    const dynos = await store.dynos.list(app.id);
    if (routedDynos(dynos, app.currentReleaseId).length === 0) return false;
    const now = this.#now();
    const formation = dynos.filter(({ kind, exit }) => kind === "formation" && exit === null);
    if (formation.some(({ id }) => this.#options.sessions.isIn(id))) this.#busyAt.set(app.id, now);
    const web = formation.filter(({ type }) => type === "web");
    const seen = [
      this.#options.requests.lastRequestAt(app.id),
      this.#busyAt.get(app.id),
      ...web.flatMap(({ stateSince, stopping }) => [stateSince, stopping?.since]),
    ];
    const past = seen.map((at) => at ?? 0).filter((at) => at <= now + CLOCK_SLACK_MS); // later: the clock was set back
    return now - Math.max(this.#since, ...past) >= afterMs;
  }

  /** The wall clock's time. If it was set since the last call, all is counted from now on. */
  #now(): Instant {
    const now = this.#options.clock.now();
    const offsetMs = now - this.#options.monotonicMs();
    if (Math.abs(offsetMs - this.#offsetMs) > CLOCK_SLACK_MS) this.#since = now;
    this.#offsetMs = offsetMs;
    return now;
  }
}
