import { type Engine, EngineError } from "../engine/engine.ts";
import { addAbortListener } from "../lib/abort.ts";
import type { Clock, Instant } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { LogSink } from "../logs/line.ts";
import { PlatformError } from "../model/errors.ts";
import type { Metrics } from "../model/formation.ts";
import type { DynoUsage } from "../model/usage.ts";
import type { Store } from "../store/store.ts";
import { linesOf } from "./lines.ts";
import { type Measured, type Measurement, measure, metricsOf } from "./measure.ts";
import type { TypeMetrics, UsageReader } from "./usage-reader.ts";

export interface SamplerOptions {
  readonly store: Pick<Store, "apps" | "features">;
  readonly engine: Pick<Engine, "usage">;
  readonly logs: LogSink;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Spec 6.1, 8.5. */
export const SAMPLE_MS = 20_000;
/** However often usage is asked for, the engine is not asked more often. */
export const FRESH_MS = 2_000;

/** Looks every 20 s what dynos use, and writes of it what belongs into the apps' logs. Keeps the last sample, and no other. */
export async function startMetrics(options: SamplerOptions): Promise<UsageReader & TypeMetrics & AsyncDisposable> {
  return new Sampler(options);
}

class Sampler implements UsageReader, TypeMetrics, AsyncDisposable {
  readonly #options: SamplerOptions;
  readonly #stop = new AbortController();
  readonly #loop: Promise<void>;
  #sample: Measurement = new Map();
  #latest: { readonly at: Instant; readonly measurement: Measurement } | undefined;
  #looking: Promise<Measurement> | undefined;

  constructor(options: SamplerOptions) {
    this.#options = options;
    this.#loop = this.#run();
  }

  async usagesOf(appId: string): Promise<readonly Measured[]> {
    const measurement = await this.#recent();
    return [...measurement.values()].filter(({ usage }) => usage.appId === appId && usage.kind !== "build");
  }

  metricsOf(appId: string, type: string): Metrics {
    return metricsOf(this.#sample, appId, type);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#loop;
    await this.#looking?.catch(() => {}); // told to whoever asked
  }

  async #run(): Promise<void> {
    const { clock, logger } = this.#options;
    const { signal } = this.#stop;
    let isFailing = false;
    for (let isFirst = true; !signal.aborted; isFirst = false) {
      try {
        const measurement = await this.#take();
        if (!isFirst) await this.#tell(measurement); // else each start of the daemon would add a sample
        isFailing = false;
      } catch (error) {
        if (!isFailing && !signal.aborted) logger.warn("metrics.sample_failed", { error });
        isFailing = true;
      }
      await clock.sleep(SAMPLE_MS, signal).catch(() => {}); // aborted: the loop sees it
    }
  }

  /** The next sample: from it on processor time and load are counted anew. */
  async #take(): Promise<Measurement> {
    const apps = await this.#options.store.features.appsWith("log-runtime-metrics", true);
    const measurement = measure(await this.#ask(apps), this.#sample);
    this.#sample = measurement;
    this.#latest = { at: this.#options.clock.now(), measurement };
    return measurement;
  }

  async #tell(measurement: Measurement): Promise<void> {
    const { logs, clock } = this.#options;
    const numericIds = await this.#numericIds(); // as they are now: switched off means no line more
    for (const measured of measurement.values()) {
      const { appId, name, kind } = measured.usage;
      if (kind === "build") continue; // its output goes to whoever pushes
      const at = clock.now();
      for (const text of linesOf(measured, numericIds.get(appId)))
        logs.append(appId, { at, source: "heroku", process: name, text });
    }
  }

  /** Of the apps that have `log-runtime-metrics`: the number that their lines carry, which no other app ever gets. */
  async #numericIds(): Promise<ReadonlyMap<string, number>> {
    const { apps, features } = this.#options.store;
    const found = await Promise.all(
      (await features.appsWith("log-runtime-metrics", true)).map((appId) => apps.byId(appId)),
    );
    return new Map(found.flatMap((app) => (app === undefined ? [] : [[app.id, app.uidIndex] as const])));
  }

  /** The latest look, or a new one that all who ask meanwhile share; it is no sample. */
  async #recent(): Promise<Measurement> {
    const { clock } = this.#options;
    const age = clock.now() - (this.#latest?.at ?? Number.NEGATIVE_INFINITY);
    if (this.#latest !== undefined && age >= 0 && age < FRESH_MS) return this.#latest.measurement;
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(): Promise<Measurement> {
    const last = this.#sample;
    const usages = await this.#ask([]).catch((error: unknown) => {
      if (!(error instanceof EngineError)) throw error;
      throw new PlatformError("service_unavailable", `Usage cannot be told now: ${error.message}.`, { cause: error });
    });
    const looked = [...measure(usages, last)].map(
      ([id, measured]) => [id, { ...measured, load: last.get(id)?.load ?? null }] as const,
    );
    const measurement = new Map(looked);
    this.#latest = { at: this.#options.clock.now(), measurement };
    return measurement;
  }

  /** Does not outlive the part, however long the host process takes. */
  async #ask(tasksOf: readonly string[]): Promise<readonly DynoUsage[]> {
    const stopped = Promise.withResolvers<never>();
    using _stop = addAbortListener(this.#stop.signal, () =>
      stopped.reject(new EngineError("unavailable", "the platform is stopping")),
    );
    return await Promise.race([this.#options.engine.usage(tasksOf), stopped.promise]);
  }
}
