import { PassThrough, type Readable, type Writable } from "node:stream";
import type { Clock, Instant } from "../../lib/clock.ts";
import {
  afterProbe,
  type CheckKind,
  type HealthCheck,
  healthOf,
  isSameHealth,
  NOT_PROBED,
} from "../../model/health.ts";
import { sizeNamed } from "../../model/size.ts";
import { type DynoUsage, MEBIBYTE, type MemoryUsage } from "../../model/usage.ts";
import {
  type ByteStream,
  type DynoSignal,
  type DynoSpec,
  type Engine,
  EngineError,
  type EngineNotice,
  type ExecRequest,
  type ObservedDyno,
  type ObservedState,
  type SlugRef,
  type StartMarks,
} from "../engine.ts";
import { type SimProcess, simProcess } from "./process.ts";
import { type Program, passes, programOf } from "./program.ts";

/** What goes wrong with the calls of a `SimEngine`; by default nothing does. */
export interface EngineFaults {
  /** Thrown before the call has any effect. */
  before(call: string): Error | undefined;
  /** Thrown after it took effect. */
  after(call: string): Error | undefined;
  delayMs(call: string): number;
  losesHint(): boolean;
}

export const NO_FAULTS: EngineFaults = {
  before: () => undefined,
  after: () => undefined,
  delayMs: () => 0,
  losesHint: () => false,
};

export interface SimEngineOptions {
  readonly clock: Clock;
  readonly faults?: EngineFaults;
  /** Called for each start and signal that takes effect. */
  readonly onStart?: (spec: DynoSpec) => void;
  readonly onSignal?: (dyno: SimDyno, signal: DynoSignal) => void;
}

/** One dyno in memory; what it does stands in its command (`program.ts`). */
export interface SimDyno {
  readonly spec: DynoSpec;
  readonly program: Program;
  state: ObservedState;
  /** Ends what it would still do. */
  readonly life: AbortController;
  isTerminated: boolean;
  /** Until when it fails checks of a kind, whatever its program says. */
  readonly ails: Map<CheckKind, Instant>;
}

/** What a test says that a dyno uses. */
export type SimUsage = Partial<Pick<DynoUsage, "cpuMs" | "processes" | "diskBytes" | "io" | "network" | "tasks">> & {
  readonly memory?: Partial<MemoryUsage>;
};

const NO_USAGE = { cpuMs: 0, processes: 1, diskBytes: 0, io: null, network: null };
const NO_MEMORY = { rssBytes: 0, cacheBytes: 0, swapBytes: 0, pagesIn: 0, pagesOut: 0 };

/** An engine in memory: dynos do what their commands say, calls fail on demand, and the host may die. */
export class SimEngine implements Engine {
  readonly #clock: Clock;
  readonly #options: SimEngineOptions;
  readonly #dynos = new Map<string, SimDyno>();
  readonly #ofApp = new Map<string, Set<SimDyno>>();
  readonly #removed = new Set<string>();
  readonly #watchers = new Set<(dynoId: string | undefined) => void>();
  readonly #slugs = new Set<string>();
  readonly #usages = new Map<string, SimUsage>();
  /** What was told before it was asked for. */
  readonly prepared: DynoSpec[] = [];
  /** What `standbyId` gives. */
  standbys: string[] = [];
  faults: EngineFaults;
  /** What a process beside a dyno's own does. */
  processes: SimProcess = async () => 0;
  /** Live dynos that the host has room for. */
  capacity = Number.POSITIVE_INFINITY;
  /** Goes up whenever a dyno appears, changes or is removed. */
  changes = 0;
  /** Programs behave: they come up and stay; release commands do what they do. */
  isHealed = false;

  constructor(options: SimEngineOptions) {
    this.#clock = options.clock;
    this.#options = options;
    this.faults = options.faults ?? NO_FAULTS;
  }

  get dynos(): readonly SimDyno[] {
    return [...this.#dynos.values()];
  }

  get live(): readonly SimDyno[] {
    return this.dynos.filter(({ state }) => state.kind !== "ended");
  }

  /** Every dyno is lost at this instant; nobody saw how it ended. */
  killHost(): void {
    for (const dyno of this.live) this.#end(dyno, null);
  }

  /** The host comes back knowing nothing. */
  wipeHost(): void {
    this.killHost();
    this.#dynos.clear();
    this.#ofApp.clear();
    this.#slugs.clear();
    this.changes++;
  }

  /** The image of a slug is there. */
  addSlug({ digest, uidIndex }: SlugRef): void {
    this.#slugs.add(`${digest} ${uidIndex}`);
  }

  /** The dyno's command ends. */
  exit(id: string, status: number, outOfMemory = false, memoryBytes?: number): void {
    const dyno = this.#dynos.get(id);
    if (dyno !== undefined) this.#end(dyno, status, outOfMemory, memoryBytes);
  }

  /** From now on the dyno fails its checks of this kind, for so long. */
  ail(id: string, kind: CheckKind, ms: number): void {
    this.#dynos.get(id)?.ails.set(kind, this.#clock.now() + ms);
  }

  startMarks(id: string): Promise<StartMarks | null> {
    return this.#call("startMarks", () => this.#dynos.get(id)?.spec.marks ?? null);
  }

  list(ofApp?: string): Promise<readonly ObservedDyno[]> {
    return this.#call("list", () =>
      (ofApp === undefined ? this.dynos : [...(this.#ofApp.get(ofApp) ?? [])]).map(
        ({ spec: { id, appId, kind, name, releaseId }, state }) => ({ id, appId, kind, name, releaseId, state }),
      ),
    );
  }

  usage(tasksOf: readonly string[] = []): Promise<readonly DynoUsage[]> {
    return this.#call("usage", () =>
      this.dynos.flatMap(({ spec: { id, appId, kind, name, size }, state }) => {
        if (state.kind !== "running") return [];
        const quotaBytes = (sizeNamed(size)?.memoryMb ?? 0) * MEBIBYTE;
        const { memory, ...used } = this.#usages.get(id) ?? {};
        const tasks = tasksOf.includes(appId) ? (used.tasks ?? { waitedMs: 0, uninterruptible: 0 }) : null;
        return [
          {
            id,
            appId,
            kind,
            name,
            at: this.#clock.now(),
            since: state.since,
            ...NO_USAGE,
            ...used,
            tasks,
            memory: { ...NO_MEMORY, quotaBytes, ceilingBytes: quotaBytes, ...memory },
          },
        ];
      }),
    );
  }

  /** From now on the dyno uses this much; what is not said is next to nothing. */
  uses(id: string, usage: SimUsage): void {
    this.#usages.set(id, usage);
  }

  expectStart(): void {}

  standbyId(): string | undefined {
    return this.standbys.shift();
  }

  /** It starts at once, whoever says so before. */
  prepare(spec: DynoSpec): void {
    this.prepared.push(spec);
  }

  start(spec: DynoSpec): Promise<void> {
    return this.#call("start", () => {
      if (this.#dynos.has(spec.id)) return;
      if (sizeNamed(spec.size) === undefined || !/^[\w-]+$/.test(spec.id)) {
        throw new EngineError("invalid", "no such size, or no id");
      }
      if (this.#removed.has(spec.id)) throw new EngineError("gone", `dyno ${spec.id} was removed`);
      const { slugDigest: digest, uidIndex } = spec;
      if (digest !== null && !this.#slugs.has(`${digest} ${uidIndex}`)) throw new EngineError("not_found", "no image");
      if (Number.isFinite(this.capacity) && this.live.length >= this.capacity)
        throw new EngineError("no_capacity", "no room");
      const program = programOf(spec.command);
      const state = { kind: "creating", since: this.#clock.now() } as const;
      const dyno: SimDyno = { spec, program, state, life: new AbortController(), isTerminated: false, ails: new Map() };
      this.#dynos.set(spec.id, dyno);
      this.#ofApp.set(spec.appId, (this.#ofApp.get(spec.appId) ?? new Set()).add(dyno));
      this.changes++;
      this.#options.onStart?.(spec);
      void this.#live(dyno);
    });
  }

  signal(id: string, signal: DynoSignal): Promise<void> {
    return this.#call(`signal ${signal}`, () => {
      const dyno = this.#dynos.get(id);
      if (dyno === undefined || dyno.state.kind === "ended") return;
      this.#options.onSignal?.(dyno, signal);
      if (signal === "KILL") this.#end(dyno, 137);
      if (signal === "TERM" && dyno.state.kind === "running") void this.#terminate(dyno);
      if (signal === "HUP" && dyno.program.hangsUp) this.#end(dyno, 129);
    });
  }

  remove(id: string): Promise<void> {
    return this.#call("remove", () => {
      const dyno = this.#dynos.get(id);
      if (dyno === undefined) return;
      if (dyno.state.kind !== "ended") this.#end(dyno, 137);
      this.#dynos.delete(id);
      this.#usages.delete(id);
      if (dyno !== undefined) this.#ofApp.get(dyno.spec.appId)?.delete(dyno);
      this.#removed.add(id);
      this.changes++;
    });
  }

  watch(listener: (dynoId: string | undefined) => void): Disposable {
    this.#watchers.add(listener);
    return { [Symbol.dispose]: () => void this.#watchers.delete(listener) };
  }

  notices(_listener: (notice: EngineNotice) => void): Disposable {
    return { [Symbol.dispose]: () => {} }; // nothing is refused here
  }

  resize(): Promise<void> {
    return this.#call("resize", () => {});
  }

  input(id: string): Promise<Writable> {
    return this.#call("input", () => {
      if (this.#dynos.get(id)?.state.kind !== "running") throw new EngineError("not_found", `dyno ${id} does not run`);
      return new PassThrough().resume();
    });
  }

  exec(id: string, request: ExecRequest): Promise<ByteStream> {
    return this.#call("exec", () => {
      const dyno = this.#dynos.get(id);
      if (dyno?.state.kind !== "running") throw new EngineError("not_found", `dyno ${id} does not run`);
      return simProcess(this.processes, request, dyno.life.signal);
    });
  }

  io(id: string): Promise<ByteStream> {
    return this.#call("io", () => {
      if (this.#dynos.get(id)?.state.kind !== "running") throw new EngineError("not_found", `dyno ${id} does not run`);
      const echo = new PassThrough();
      return { readable: echo, writable: echo, close: () => void echo.destroy() };
    });
  }

  isolationRefusal(): Promise<string | null> {
    return this.#call("isolationRefusal", () => null);
  }

  hasSlug({ digest, uidIndex }: SlugRef): Promise<boolean> {
    return this.#call("hasSlug", () => this.#slugs.has(`${digest} ${uidIndex}`));
  }

  async putSlug(slug: SlugRef, tar: Readable): Promise<void> {
    for await (const _chunk of tar); // its content does not matter here
    return this.#call("putSlug", () => this.addSlug(slug));
  }

  removeSlug({ digest, uidIndex }: SlugRef): Promise<void> {
    return this.#call("removeSlug", () => void this.#slugs.delete(`${digest} ${uidIndex}`));
  }

  setEgress(): Promise<void> {
    return this.#call("setEgress", () => {});
  }

  removeApp(): Promise<void> {
    return this.#call("removeApp", () => {});
  }

  trimLog(): Promise<void> {
    return this.#call("trimLog", () => {});
  }

  async #call<T>(name: string, effect: () => T): Promise<T> {
    const { faults } = this;
    const delay = faults.delayMs(name);
    if (delay > 0) await this.#clock.sleep(delay, new AbortController().signal);
    const early = faults.before(name);
    if (early !== undefined) throw early;
    const result = effect();
    const late = faults.after(name);
    if (late !== undefined) throw late;
    return result;
  }

  /** The dyno's life, as its command says. */
  async #live(dyno: SimDyno): Promise<void> {
    const { program, life } = dyno;
    const { makeMs, listenMs, exit } = program;
    try {
      await this.#clock.sleep(makeMs, life.signal);
      const since = this.#clock.now();
      const address = dyno.spec.port === null ? null : "10.0.0.2";
      const { checks } = dyno.spec;
      const health = checks && healthOf(checks, []);
      this.#become(dyno, { kind: "running", since, listening: false, address, ...(health && { health }) });
      await Promise.all([
        checks && this.#beAsked(dyno, checks, since),
        this.#listen(dyno, this.isHealed ? 100 : listenMs),
        exit === null || (this.isHealed && dyno.spec.kind !== "release")
          ? undefined
          : this.#exitAfter(dyno, exit.ms, exit.status),
      ]);
    } catch (error) {
      if (!life.signal.aborted) throw error;
    }
  }

  async #listen(dyno: SimDyno, listenMs: number | null): Promise<void> {
    if (dyno.spec.port === null || listenMs === null) return;
    await this.#clock.sleep(listenMs, dyno.life.signal);
    if (dyno.state.kind === "running") this.#become(dyno, { ...dyno.state, listening: true });
  }

  /** Its checks, each at its interval, from when it runs. */
  async #beAsked(dyno: SimDyno, checks: readonly HealthCheck[], since: Instant): Promise<void> {
    const progress = checks.map(() => NOT_PROBED);
    const ask = async (check: HealthCheck, index: number) => {
      await this.#clock.sleep(check.initialDelayMs, dyno.life.signal);
      for (;;) {
        const { state } = dyno;
        if (state.kind !== "running" || state.health === undefined) return;
        const mayAsk = check.kind === "startup" || state.health.started;
        const isThere = check.probe.kind === "command" || state.listening;
        if (mayAsk && isThere) {
          const now = this.#clock.now();
          const isAiling = now < (dyno.ails.get(check.kind) ?? 0);
          const age = Math.max(0, now - since); // a clock that was set back makes no program younger than new
          const passed = this.isHealed || (!isAiling && passes(dyno.program, check.kind, age));
          const text = passed ? "answered 200" : "answered 500";
          progress[index] = afterProbe(check, progress[index] ?? NOT_PROBED, { passed, text }, this.#clock.now());
          const health = healthOf(checks, progress);
          if (isSameHealth(health, state.health)) dyno.state = { ...state, health };
          else this.#become(dyno, { ...state, health });
        }
        await this.#clock.sleep(check.intervalMs, dyno.life.signal);
      }
    };
    await Promise.all(checks.map(ask));
  }

  async #exitAfter(dyno: SimDyno, ms: number, status: number): Promise<void> {
    await this.#clock.sleep(ms, dyno.life.signal);
    this.#end(dyno, status);
  }

  async #terminate(dyno: SimDyno): Promise<void> {
    if (dyno.isTerminated || dyno.program.termMs === null) return;
    dyno.isTerminated = true;
    await this.#clock.sleep(dyno.program.termMs, dyno.life.signal).catch(() => {}); // ended before
    this.#end(dyno, 143);
  }

  #end(dyno: SimDyno, status: number | null, outOfMemory = false, memoryBytes?: number): void {
    if (dyno.state.kind === "ended") return;
    dyno.life.abort();
    const at = this.#clock.now();
    this.#become(dyno, {
      kind: "ended",
      at,
      status,
      outOfMemory,
      ...(memoryBytes !== undefined && { memoryBytes }),
    });
  }

  #become(dyno: SimDyno, state: ObservedState): void {
    dyno.state = state;
    this.changes++;
    if (this.faults.losesHint()) return;
    for (const watcher of this.#watchers) watcher(dyno.spec.id);
  }
}
