import { addAbortListener } from "../lib/abort.ts";
import type { Clock, Instant } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { Nudge } from "../lib/nudge.ts";
import type { Random } from "../lib/random.ts";
import { parseDrainUrl } from "../model/drain-url.ts";
import { refusalText } from "../model/refusal.ts";
import { type Outbound, Refused } from "../outbound/outbound.ts";
import type { LogDrain, Store } from "../store/store.ts";
import { runDrain } from "./drain.ts";
import { senderOf } from "./drain-sender.ts";
import type { LogHub } from "./hub.ts";

export interface DrainsOptions {
  readonly store: Pick<Store, "logDrains" | "apps" | "onChange">;
  readonly logs: Pick<LogHub, "subscribe" | "append">;
  readonly outbound: Outbound;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** How `stator` is called on the platform's machine. */
  readonly program: string;
}

/** So often positions are written: after kill -9 no more than what was delivered in this time is delivered again. */
const SAVE_MS = 1_000;
/** A drain's troubles are told in the app's log once in this time. */
const TELL_MS = 600_000;
/** Characters that wait for one drain at most, and for all together. */
const TEXT_MAX = 1024 * 1024;
const ALL_TEXT_MAX = 64 * 1024 * 1024;
const TEXT_MIN = 16 * 1024;

/** Keeps the drains that run equal to those of the store, each in its own time. */
export async function startDrains(options: DrainsOptions): Promise<AsyncDisposable> {
  const drains = new Drains(options);
  await drains.start();
  return drains;
}

interface Running {
  readonly appId: string;
  readonly stop: AbortController;
  readonly end: Promise<void>;
}

class Drains implements AsyncDisposable {
  readonly #options: DrainsOptions;
  readonly #running = new Map<string, Running>();
  readonly #changed = new Set<string>();
  readonly #nudge = new Nudge();
  readonly #positions = new Map<string, number>();
  readonly #saveNudge = new Nudge();
  readonly #toldAt = new Map<string, Instant>();
  readonly #stop = new AbortController();
  #listener: Disposable | undefined;
  #loops: Promise<unknown> | undefined;

  constructor(options: DrainsOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { store } = this.#options;
    this.#listener = store.onChange((appId) => {
      this.#changed.add(appId);
      this.#nudge.ring();
    });
    for (const drain of await store.logDrains.all()) this.#begin(drain);
    this.#loops = Promise.all([this.#follow(), this.#save()]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener?.[Symbol.dispose]();
    this.#stop.abort();
    await this.#loops;
    await Promise.all([...this.#running.values()].map(({ end }) => end));
    await this.#savePositions();
  }

  async #follow(): Promise<void> {
    const { clock, logger } = this.#options;
    while (!this.#stop.signal.aborted) {
      await this.#nudge.wait(LOOK_MS, this.#stop.signal, clock);
      const apps = [...this.#changed];
      this.#changed.clear();
      for (const appId of apps) {
        try {
          await this.#compare(appId);
        } catch (error) {
          logger.error("drains.failed", { appId, error });
          this.#changed.add(appId); // at the next look
        }
      }
    }
  }

  async #compare(appId: string): Promise<void> {
    const wanted = await this.#options.store.logDrains.list(appId);
    const ids = new Set(wanted.map(({ id }) => id));
    for (const [id, running] of this.#running) if (running.appId === appId && !ids.has(id)) running.stop.abort();
    for (const drain of wanted) if (!this.#running.has(drain.id)) this.#begin(drain);
  }

  #begin(drain: LogDrain): void {
    const { logger } = this.#options;
    const stop = new AbortController();
    const end = this.#run(drain, stop.signal)
      .catch((error: unknown) => logger.error("drain.failed", { drainId: drain.id, error }))
      .finally(() => this.#running.delete(drain.id));
    this.#running.set(drain.id, { appId: drain.appId, stop, end });
  }

  async #run(drain: LogDrain, signal: AbortSignal): Promise<void> {
    const { logs, outbound, clock, random } = this.#options;
    const { id, appId, token, position } = drain;
    const done = new AbortController();
    using _one = addAbortListener(signal, () => done.abort());
    using _all = addAbortListener(this.#stop.signal, () => done.abort());
    const target = parseDrainUrl(drain.url);
    await runDrain(
      {
        lines: (afterId, until) => logs.subscribe(appId, {}, afterId, until),
        position,
        sender: senderOf({ outbound, clock, appId, token, target }),
        clock,
        random,
        textMax: () => Math.max(Math.min(TEXT_MAX, ALL_TEXT_MAX / this.#running.size), TEXT_MIN),
        moved: (to) => {
          this.#positions.set(id, to);
          this.#saveNudge.ring();
        },
        failed: (error) => this.#tell(drain, target.shown, error),
      },
      done.signal,
    );
    this.#toldAt.delete(id);
  }

  /** The owner reads why nothing arrives; the URL's secrets stay out of it. */
  #tell({ id, appId, token }: LogDrain, shown: string, error: unknown): void {
    const { clock, logger, logs } = this.#options;
    const now = clock.now();
    if (now - (this.#toldAt.get(id) ?? -Infinity) < TELL_MS) return;
    this.#toldAt.set(id, now);
    void this.#textOf(appId, token, shown, error).then(
      (text) => logs.append(appId, { at: now, source: "heroku", process: "logplex", text }),
      (failure: unknown) => logger.warn("drain.untold", { drainId: id, error: failure }),
    );
  }

  async #textOf(appId: string, token: string, shown: string, error: unknown): Promise<string> {
    const { store, program } = this.#options;
    if (error instanceof Refused) {
      const appName = (await store.apps.byId(appId))?.name ?? appId;
      const why = refusalText({ destination: error.destination, protocol: "tcp", byOwner: false, appName, program });
      return `Drain ${token} (${shown}): ${why}`;
    }
    const { code = "", message } = error as NodeJS.ErrnoException; // what failed is an error, whoever threw it
    if (CERTIFICATE_CODES.test(code)) {
      return `Error L14 (certificate validation): error="${message.slice(0, 200)}" uri="${shown}"`; // spec 6.3
    }
    return `Drain ${token} (${shown}) cannot deliver: ${message.slice(0, 200)}. It is tried again and again; the newest messages wait.`;
  }

  async #save(): Promise<void> {
    const { clock, logger } = this.#options;
    while (!this.#stop.signal.aborted) {
      await this.#saveNudge.wait(LOOK_MS, this.#stop.signal, clock);
      await this.#savePositions().catch((error: unknown) => logger.error("drains.unsaved", { error }));
      await clock.sleep(SAVE_MS, this.#stop.signal).catch(() => {}); // the loop sees the signal
    }
  }

  async #savePositions(): Promise<void> {
    if (this.#positions.size === 0) return;
    const now = new Map(this.#positions);
    await this.#options.store.logDrains.setPositions(now);
    for (const [id, position] of now) if (this.#positions.get(id) === position) this.#positions.delete(id);
  }
}

const LOOK_MS = 60_000;
/** What TLS calls a certificate that it does not accept. */
const CERTIFICATE_CODES = /CERT|SIGNATURE|SIGNED|ISSUER/;
