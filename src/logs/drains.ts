import { addAbortListener } from "../lib/abort.ts";
import type { Clock, Instant } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { Nudge } from "../lib/nudge.ts";
import type { Random } from "../lib/random.ts";
import { parseDrainUrl } from "../model/drain-url.ts";
import { refusalText } from "../model/refusal.ts";
import { logsEndpoint } from "../model/telemetry.ts";
import { type Outbound, Refused } from "../outbound/outbound.ts";
import type { LogDrain, Store, TelemetryDrain } from "../store/store.ts";
import { runDrain } from "./drain.ts";
import { otlpSender, type Sender, senderOf } from "./drain-sender.ts";
import type { LogHub } from "./hub.ts";

export interface DrainsOptions {
  readonly store: Pick<Store, "logDrains" | "telemetryDrains" | "apps" | "onChange">;
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
/** Apps change often, and their drains hardly ever: an app is looked at once for all that happens in this time. */
const GATHER_MS = 100;
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

/** What of the store's drains, of either kind, a running one is made of. */
interface Stored {
  readonly id: string;
  readonly appId: string;
  readonly position: number | null;
  /** Another one after each change. */
  readonly version: Instant;
  /** How its owner knows it: `Drain d.<uuid> (https://logs.example.com:443/)`. */
  readonly name: string;
  /** Its URL without secrets. */
  readonly shown: string;
  readonly open: () => Sender;
}

interface Running {
  readonly version: Instant;
  readonly stop: AbortController;
  readonly end: Promise<void>;
}

class Drains implements AsyncDisposable {
  readonly #options: DrainsOptions;
  /** By app, then by id. */
  readonly #running = new Map<string, Map<string, Running>>();
  #count = 0;
  #hasTelemetry = false;
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
    const [logs, telemetry] = await Promise.all([store.logDrains.all(), store.telemetryDrains.all()]);
    for (const drain of logs) this.#beginIfSound(drain.id, () => this.#ofLog(drain));
    for (const drain of telemetry) this.#beginIfSound(drain.id, () => this.#ofTelemetry(drain));
    this.#loops = Promise.all([this.#follow(), this.#save()]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener?.[Symbol.dispose]();
    this.#stop.abort();
    await this.#loops;
    await Promise.all([...this.#running.values()].flatMap((own) => [...own.values()].map(({ end }) => end)));
    await this.#savePositions();
  }

  async #follow(): Promise<void> {
    const { clock, logger } = this.#options;
    while (!this.#stop.signal.aborted) {
      await this.#nudge.wait(LOOK_MS, this.#stop.signal, clock);
      if (this.#changed.size > 0) await clock.sleep(GATHER_MS, this.#stop.signal).catch(() => {}); // the loop sees the signal
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
    const { store } = this.#options;
    const [logs, telemetry] = await Promise.all([store.logDrains.list(appId), store.telemetryDrains.list(appId)]);
    const wanted = [...logs.map((each) => this.#ofLog(each)), ...telemetry.map((each) => this.#ofTelemetry(each))];
    const versions = new Map(wanted.map(({ id, version }) => [id, version]));
    for (const [id, running] of this.#running.get(appId) ?? []) {
      if (versions.get(id) === running.version) continue;
      running.stop.abort();
      await running.end;
    }
    for (const drain of wanted) if (!this.#running.get(appId)?.has(drain.id)) this.#begin(drain);
  }

  #ofLog({ id, appId, position, token, url, updatedAt }: LogDrain): Stored {
    const { outbound, clock } = this.#options;
    const target = parseDrainUrl(url);
    const name = `Drain ${token} (${target.shown})`;
    const open = () => senderOf({ outbound, clock, appId, token, target });
    return { id, appId, position, version: updatedAt, name, shown: target.shown, open };
  }

  #ofTelemetry({ id, appId, position, endpoint, headers, updatedAt }: TelemetryDrain): Stored {
    this.#hasTelemetry = true;
    const { outbound, clock } = this.#options;
    const target = logsEndpoint(endpoint);
    const name = `Telemetry drain ${id} (${target.shown})`;
    const open = () => otlpSender({ outbound, clock, appId, target, headers, appName: () => this.#appName(appId) });
    return { id, appId, position, version: updatedAt, name, shown: target.shown, open };
  }

  async #appName(appId: string): Promise<string> {
    return (await this.#options.store.apps.byId(appId))?.name ?? appId;
  }

  /** One that an older version took, and this one would not, must not keep the daemon from starting. */
  #beginIfSound(drainId: string, make: () => Stored): void {
    try {
      this.#begin(make());
    } catch (error) {
      this.#options.logger.error("drain.unsound", { drainId, error });
    }
  }

  #begin(drain: Stored): void {
    const { logger } = this.#options;
    const { id, appId, version } = drain;
    const own = this.#running.get(appId) ?? new Map<string, Running>();
    this.#running.set(appId, own);
    this.#count++;
    const stop = new AbortController();
    const end = this.#run(drain, stop.signal)
      .catch((error: unknown) => logger.error("drain.failed", { drainId: id, error }))
      .finally(() => {
        this.#count--;
        own.delete(id);
        if (own.size === 0) this.#running.delete(appId);
      });
    own.set(id, { version, stop, end });
  }

  async #run(drain: Stored, signal: AbortSignal): Promise<void> {
    const { logs, clock, random } = this.#options;
    const { id, appId } = drain;
    const done = new AbortController();
    using _one = addAbortListener(signal, () => done.abort());
    using _all = addAbortListener(this.#stop.signal, () => done.abort());
    await runDrain(
      {
        lines: (afterId, until) => logs.subscribe(appId, {}, afterId, until),
        position: this.#positions.get(id) ?? drain.position,
        sender: drain.open(),
        clock,
        random,
        textMax: () => Math.max(Math.min(TEXT_MAX, ALL_TEXT_MAX / this.#count), TEXT_MIN),
        moved: (to) => {
          this.#positions.set(id, to);
          this.#saveNudge.ring();
        },
        failed: (error) => this.#tell(drain, error),
      },
      done.signal,
    );
    this.#toldAt.delete(id);
  }

  /** The owner reads why nothing arrives; the URL's secrets stay out of it. */
  #tell(drain: Stored, error: unknown): void {
    const { clock, logger, logs } = this.#options;
    const { id, appId } = drain;
    const now = clock.now();
    if (now - (this.#toldAt.get(id) ?? -Infinity) < TELL_MS) return;
    this.#toldAt.set(id, now);
    void this.#textOf(drain, error).then(
      (text) => logs.append(appId, { at: now, source: "heroku", process: "logplex", text }),
      (failure: unknown) => logger.warn("drain.untold", { drainId: id, error: failure }),
    );
  }

  async #textOf({ appId, name, shown }: Stored, error: unknown): Promise<string> {
    if (error instanceof Refused) {
      const { program } = this.#options;
      const { destination } = error;
      const appName = await this.#appName(appId);
      return `${name}: ${refusalText({ destination, protocol: "tcp", byOwner: false, appName, program })}`;
    }
    const { code = "", message } = error as NodeJS.ErrnoException; // what failed is an error, whoever threw it
    if (CERTIFICATE_CODES.test(code)) {
      return `Error L14 (certificate validation): error="${message.slice(0, 200)}" uri="${shown}"`; // spec 6.3
    }
    return `${name} cannot deliver: ${message.slice(0, 200)}. It is tried again and again; the newest messages wait.`;
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
    const { logDrains, telemetryDrains } = this.#options.store;
    await logDrains.setPositions(now); // ids are of one kind or the other
    if (this.#hasTelemetry) await telemetryDrains.setPositions(now);
    for (const [id, position] of now) if (this.#positions.get(id) === position) this.#positions.delete(id);
  }
}

const LOOK_MS = 60_000;
/** What TLS calls a certificate that it does not accept. */
const CERTIFICATE_CODES = /CERT|SIGNATURE|SIGNED|ISSUER/;
