import type { Clock, Instant } from "../../lib/clock.ts";
import {
  afterProbe,
  type CheckProgress,
  type Health,
  type HealthCheck,
  healthOf,
  isSameHealth,
  NOT_PROBED,
  type ProbeResult,
} from "../../model/health.ts";
import { FairGate } from "./fair-gate.ts";

/** A dyno that is asked. */
export interface Patient {
  readonly id: string;
  readonly appId: string;
  readonly checks: readonly HealthCheck[];
  /** When its command began. */
  readonly since: Instant;
  /** What an earlier host process knew; null: its command has just begun. */
  readonly known: readonly CheckProgress[] | null;
  /** Resolves with true once its port accepts connections, with false when it has ended before. */
  readonly listening: Promise<boolean>;
  /** Aborted when it has ended. */
  readonly life: AbortSignal;
  /** One probe of one of its checks; never rejects. */
  probe(index: number): Promise<ProbeResult>;
  /** What is known now. `isNews`: anybody would act otherwise than before. Never rejects: the check would end. */
  note(health: Health, progress: readonly CheckProgress[], isNews: boolean): Promise<void>;
}

/** A probe by HTTP is a socket that waits, mostly. */
const HTTP_AT_ONCE = 128;
const HTTP_AT_ONCE_APP = 16;
/** A command costs the host CPU before it is the dyno's own (`docs/dynos.md`): half a core at most for all of them. */
const COMMANDS_AT_ONCE = 32;
const COMMANDS_AT_ONCE_APP = 4;
const COMMANDS_GAP_MS = 100;
/** A probe that took longer than its interval is not followed by the next one at once. */
const PAUSE_MS_MIN = 500;

/**
 * Asks dynos what their checks are to find out, for as long as they live. How many are asked at once is bounded, and apps take
 * turns: an app whose dynos answer slowly, or that asks for much, is asked less often itself.
 */
export class HealthWatch {
  readonly #clock: Clock;
  readonly #gates: Readonly<Record<HealthCheck["probe"]["kind"], FairGate>>;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#gates = {
      http: new FairGate({ atOnce: HTTP_AT_ONCE, eachAtOnce: HTTP_AT_ONCE_APP, gapMs: 0, clock }),
      command: new FairGate({
        atOnce: COMMANDS_AT_ONCE,
        eachAtOnce: COMMANDS_AT_ONCE_APP,
        gapMs: COMMANDS_GAP_MS,
        clock,
      }),
    };
  }

  /** Resolves when the dyno's life has ended. */
  async watch(patient: Patient): Promise<void> {
    const { checks, life } = patient;
    const chart = new Chart(patient, this.#clock);
    await Promise.all(
      checks.map((check, index) =>
        this.#keepAsking(patient, check, index, chart).catch((error: unknown) => {
          if (!life.aborted) throw error;
        }),
      ),
    );
  }

  /** Rejects with the life's reason when that ends. */
  async #keepAsking(patient: Patient, check: HealthCheck, index: number, chart: Chart): Promise<void> {
    const { appId, life } = patient;
    if (chart.isDone(index)) return;
    if (check.probe.kind === "http" && !(await patient.listening)) return;
    if (check.kind !== "startup") await chart.started;
    await this.#clock.sleep(this.#firstDelay(patient, check), life);
    while (!chart.isDone(index)) {
      const { result, tookMs } = await this.#gates[check.probe.kind].run(appId, () => this.#ask(patient, index), life);
      life.throwIfAborted();
      await chart.note(index, result);
      await this.#clock.sleep(Math.max(PAUSE_MS_MIN, check.intervalMs - tookMs), life);
    }
  }

  async #ask(patient: Patient, index: number): Promise<{ readonly result: ProbeResult; readonly tookMs: number }> {
    const began = this.#clock.now();
    const result = await patient.probe(index);
    return { result, tookMs: Math.max(0, this.#clock.now() - began) };
  }

  #firstDelay({ id, since, known }: Patient, { initialDelayMs, intervalMs }: HealthCheck): number {
    const left = Math.min(initialDelayMs, Math.max(0, since + initialDelayMs - this.#clock.now()));
    const spread = known === null ? 0 : intervalMs * fractionOf(id); // after our own restart all dynos come at once
    return left + spread;
  }
}

/** What is known of one dyno. */
class Chart {
  readonly #patient: Patient;
  readonly #clock: Clock;
  readonly #progress: CheckProgress[];
  readonly #started = Promise.withResolvers<void>();

  constructor(patient: Patient, clock: Clock) {
    this.#patient = patient;
    this.#clock = clock;
    this.#progress = patient.checks.map((_, index) => patient.known?.[index] ?? NOT_PROBED);
    if (this.#health().started) this.#started.resolve();
    const { life } = patient;
    life.addEventListener("abort", () => this.#started.reject(life.reason), { once: true });
    this.#started.promise.catch(() => {}); // nobody may wait for it
  }

  /** Resolves once every startup check has passed; rejects when the dyno ends before. */
  get started(): Promise<void> {
    return this.#started.promise;
  }

  /** A startup check that has passed is not asked again. */
  isDone(index: number): boolean {
    return this.#patient.checks[index]?.kind === "startup" && this.#progress[index]?.verdict === "passing";
  }

  async note(index: number, result: ProbeResult): Promise<void> {
    const check = this.#patient.checks[index];
    if (check === undefined) return;
    const before = this.#health();
    this.#progress[index] = afterProbe(check, this.#progress[index] ?? NOT_PROBED, result, this.#clock.now());
    const health = this.#health();
    await this.#patient.note(health, [...this.#progress], !isSameHealth(before, health));
    if (health.started) this.#started.resolve();
  }

  #health(): Health {
    return healthOf(this.#patient.checks, this.#progress);
  }
}

/** As good as chance, from an id that is. */
function fractionOf(id: string): number {
  return Number.parseInt(id.slice(0, 8), 16) / 2 ** 32;
}
