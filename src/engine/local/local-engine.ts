import { existsSync, type FSWatcher, readdirSync, watch } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { run, start as startProgram } from "../../lib/command.ts";
import { monotonicMs } from "../../lib/monotonic.ts";
import type { EgressRule } from "../../model/egress-rule.ts";
import { type CheckProgress, type Health, healthOf, type ProbeResult } from "../../model/health.ts";
import { ISOLATIONS, type Isolation } from "../../model/isolation.ts";
import { BUILD_SIZE, type DynoSize, sizeNamed } from "../../model/size.ts";
import type { DynoUsage } from "../../model/usage.ts";
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
  type StandbyOffers,
  type StartMarks,
  type StartStep,
} from "../engine.ts";
import { refusalOf } from "./admission.ts";
import { type Adopted, adoptDynos } from "./adopt.ts";
import { killQuietly, memoryKillOf, peakMemoryBytes, watcherCount } from "./cgroup.ts";
import { DynoFolder, type EndedFacts, EXITS, isAlive, type Labels, labelsOf, type ProcessRef } from "./dyno-folder.ts";
import { probeCommand } from "./health-command.ts";
import { probeHttp } from "./health-http.ts";
import { HealthWatch, type Patient } from "./health-watch.ts";
import type { IoSocket } from "./io-socket.ts";
import { readKernelFile } from "./kernel-file.ts";
import { MemoryKills } from "./memory-kills.ts";
import type { DynoNetwork } from "./network.ts";
import { accepts } from "./readiness.ts";
import { Gate, Serial } from "./serial.ts";
import { endLostSessions, LocalSessions } from "./sessions.ts";
import { checkEgress, checkSpec, checkUuid } from "./spec-check.ts";
import type { Standbys } from "./standbys.ts";
import type { StartsAhead } from "./starts-ahead.ts";
import type { Tombstones } from "./tombstones.ts";
import { UsageLook } from "./usage.ts";
import { volumesFolderOf } from "./volume-store.ts";
import { appVolumesOf, make, runtimeOf, setTerminalSize, takeApart, takeAway, type Workshop } from "./workshop.ts";

/** One dyno, from the first call about it to `remove`. */
interface Dyno {
  readonly labels: Labels;
  readonly folder: DynoFolder;
  readonly size: DynoSize;
  state: ObservedState;
  network: DynoNetwork | null;
  conmon: ProcessRef | null;
  io: IoSocket | null;
  /** Aborted when it has ended. */
  readonly life: AbortController;
  /** Aborted once who wanted to know of its end does. */
  readonly heard: AbortController;
  /** Begun when its end was seen, by whoever saw it first. */
  ending: Promise<void> | null;
  /** Freeing what it held, once it has ended. */
  tidied: Promise<void>;
  /** Steps of its start; undefined for one that an earlier process started. */
  marks?: StartMarks;
  /** What its checks said last could not be written down. */
  owesHealth?: boolean;
}

export interface LocalEngineParts {
  readonly shop: Workshop;
  readonly ahead: StartsAhead;
  readonly standbys: Standbys;
  readonly bundles: string;
  readonly tombstones: Tombstones;
  readonly isolations: { refusal(isolation: Isolation): Promise<string | null> };
  /** Of the machine; times the catalogue's overcommit it bounds the sum of the quotas of all dynos that live. */
  readonly memoryMb: number;
}

/** More at a time gains nothing on two processors (facts 1), and would starve what runs. */
const STARTS_AT_ONCE = 4;
const PATROL_MS = 1000;
/** What was expected and has not come by then is not waited for any more. */
const EXPECTED_MS = 30;
/** Taking one apart keeps this process busy for as long. */
const TIDY_AFTER_MS = 20;
/** Where the kernel does not count kills of the whole machine, each dyno's count is read once in so many patrols. */
const OUT_OF_MEMORY_ROUNDS = 5;
const LOG_LOOK_MS = 250;
/** One in so many looks sees all logs, however little the disk has taken in, if their writers have done anything. */
const ALL_LOGS_EVERY = 8;
/** In so many patrols it is seen once whether a process is still the one that it was. */
const THOROUGH_ROUNDS = 60;
/** A flood writes 80 MB a second (facts 5). */
const FLOOD_LOOK_MS = 50;
/** So often it is looked that soon after the last segment ended: floods come again. */
const FLOOD_LOOKS = 40;
/**
 * conmon belongs to no dyno's group: a dyno that floods would have its lines formatted, counted and read at the cost of others,
 * and faster than they can be counted. So conmon stands still for a while after each segment, and the dyno waits for it.
 */
const LOG_BYTES_PER_MS = 20 * 1024;
const LOG_PAUSE_MS_MAX = 2000;

/** Dynos as OCI containers on this machine, inside the root host process. */
export class LocalEngine implements Engine, StandbyOffers, AsyncDisposable {
  readonly #parts: LocalEngineParts;
  readonly #shop: Workshop;
  readonly #dynos = new Map<string, Dyno>();
  readonly #byNetwork = new Map<number, string>();
  readonly #serial = new Serial();
  readonly #starts = new Gate(STARTS_AT_ONCE);
  readonly #health: HealthWatch;
  readonly #watchers = new Set<(dynoId: string | undefined) => void>();
  readonly #noticeListeners = new Set<(notice: EngineNotice) => void>();
  /** Whose conmon stands still for a moment. */
  readonly #slowed = new Set<string>();
  readonly #stop = new AbortController();
  readonly #background = new Set<Promise<void>>();
  readonly #refusals: Disposable;
  readonly #usage: UsageLook;
  readonly #kills = new MemoryKills(() => readKernelFile("/proc/vmstat"));
  /** The watchers when all were last looked at one by one, and how many dynos had come by then. */
  #watched: { readonly count: number; readonly came: number } | undefined;
  #came = 0;
  readonly #sessions: LocalSessions;
  #exits: FSWatcher | undefined;

  static async open(parts: LocalEngineParts): Promise<LocalEngine> {
    const adopted = await adoptDynos(parts.shop, parts.bundles, parts.tombstones);
    parts.shop.network.adopted();
    const engine = new LocalEngine(parts);
    parts.ahead.leave((id) => engine.#dynos.has(id));
    for (const dyno of adopted) engine.#adopt(dyno);
    await engine.#patrolOnce();
    engine.#begin(engine.#patrol());
    engine.#begin(engine.#rotateLogs());
    engine.#begin(engine.#tellIsolations());
    return engine;
  }

  private constructor(parts: LocalEngineParts) {
    this.#parts = parts;
    this.#shop = parts.shop;
    this.#usage = new UsageLook(parts.shop);
    this.#sessions = new LocalSessions(parts.shop);
    this.#health = new HealthWatch(parts.shop.clock);
    this.#refusals = parts.shop.network.onRefused((index, destination, protocol) => {
      const dynoId = this.#byNetwork.get(index);
      if (dynoId === undefined) return;
      for (const listener of this.#noticeListeners) listener({ kind: "refused", dynoId, destination, protocol });
    });
    try {
      this.#exits = watch(join(parts.bundles, EXITS), (_event, name) => {
        const dyno = name === null ? undefined : this.#dynos.get(name);
        if (dyno) this.#begin(this.#look(dyno));
      });
      this.#exits.on("error", (error) => this.#shop.logger.warn("engine.watch_failed", { error }));
    } catch (error) {
      this.#shop.logger.warn("engine.watch_failed", { message: "Ends of dynos are seen a second late.", error });
    }
  }

  async list(ofApp?: string): Promise<readonly ObservedDyno[]> {
    const all = [...this.#dynos.values()];
    const asked = ofApp === undefined ? all : all.filter(({ labels }) => labels.appId === ofApp);
    return asked.map(({ labels: { id, appId, kind, name, releaseId }, state }) => ({
      id,
      appId,
      kind,
      name,
      releaseId,
      state,
    }));
  }

  usage(tasksOf: readonly string[] = []): Promise<readonly DynoUsage[]> {
    return this.#usage.of([...this.#dynos.values()], new Set(tasksOf));
  }

  /** Where the router sends a dyno's requests; undefined unless it runs and was given a port. */
  endpointOf(dynoId: string): { readonly address: string; readonly port: number } | undefined {
    const dyno = this.#dynos.get(dynoId);
    if (dyno?.state.kind !== "running" || dyno.state.address === null || dyno.labels.port === null) return undefined;
    return { address: dyno.state.address, port: dyno.labels.port };
  }

  expectStart(): void {
    this.#shop.migration.warmFor(EXPECTED_MS);
  }

  standbyId(): string | undefined {
    return this.#parts.standbys.give();
  }

  offerStandbys(listener: (id: string) => void): Disposable {
    return this.#parts.standbys.offer(listener);
  }

  standbyGiven(id: string): void {
    this.#parts.standbys.given(id);
  }

  prepare(spec: DynoSpec): void {
    const size = checkSpec(spec);
    if (this.#dynos.has(spec.id) || this.#parts.tombstones.has(spec.id)) return;
    if (this.#capacityRefusal(spec, size) === undefined) this.#parts.ahead.begin(spec, size);
  }

  async start(spec: DynoSpec): Promise<void> {
    const size = checkSpec(spec);
    this.#refuseCommandChecks(spec);
    await this.#serial.run(spec.id, async () => {
      if (this.#dynos.has(spec.id)) return;
      if (this.#parts.tombstones.has(spec.id)) throw new EngineError("gone", `The dyno ${spec.id} was removed.`);
      const refusal = await this.#parts.isolations.refusal(spec.isolation);
      if (refusal !== null) throw new EngineError("failed", refusal);
      const dyno: Dyno = {
        labels: labelsOf(spec, size, this.#shop.clock.now()),
        folder: new DynoFolder(this.#parts.bundles, spec.id),
        size,
        state: { kind: "creating", since: this.#shop.clock.now() },
        network: null,
        conmon: null,
        io: null,
        life: new AbortController(),
        heard: new AbortController(),
        ending: null,
        tidied: Promise.resolve(),
      };
      const full = this.#capacityRefusal(spec, size);
      if (full !== undefined) {
        await this.#parts.ahead.discard(spec.id);
        throw new EngineError("no_capacity", full);
      }
      this.#dynos.set(spec.id, dyno); // from here on its memory is taken: nothing is awaited between
      this.#parts.ahead.claim(spec.id);
      await this.#starts.run(() => this.#make(dyno, spec));
    });
  }

  #refuseCommandChecks({ name, isolation, checks }: DynoSpec): void {
    if (checks?.some(({ probe }) => probe.kind === "command") !== true) return;
    const { runtime } = this.#shop;
    if (isolation === "container" && runtime.canExec) return;
    const why =
      isolation === "container"
        ? `this machine's runtime, ${runtime.name}, cannot run them: install crun`
        : `dynos of the class ${isolation} cannot run them: use a path`;
    throw new EngineError("invalid", `${name} has health checks that are commands, and ${why}.`);
  }

  async #make(dyno: Dyno, spec: DynoSpec): Promise<void> {
    const { logger } = this.#shop;
    const began = performance.now();
    this.#parts.standbys.busy();
    const marks: Partial<Record<StartStep, number>> = { received: monotonicMs() };
    dyno.marks = marks;
    const mark = (step: StartStep) => void (marks[step] = monotonicMs());
    const ahead = await this.#parts.ahead.take(spec, dyno.size);
    try {
      const created = ahead?.created;
      const standby = created === undefined ? await this.#parts.standbys.claim(spec) : undefined;
      // Of one that could not be taken apart.
      const isLeft = created === undefined && standby === undefined && existsSync(dyno.folder.path);
      if (isLeft) await takeAway(this.#shop, dyno.folder, spec.id);
      await dyno.folder.create(dyno.labels);
      const { network, conmon, io } = await make(this.#shop, dyno.folder, spec, dyno.size, { mark, created, standby });
      Object.assign(marks, ahead?.marks);
      dyno.network = network;
      dyno.conmon = conmon;
      dyno.io = io;
      this.#byNetwork.set(network.index, spec.id);
    } catch (error) {
      logger.error("dyno.start_failed", { dynoId: spec.id, error });
      await takeApart(this.#shop, dyno.folder, spec.id).catch((second: unknown) =>
        logger.error("dyno.take_apart_failed", { dynoId: spec.id, error: second }),
      );
      await this.#shop.logs.remove(spec.id);
      await dyno.folder.remove();
      await this.#seeDiskErrors();
      this.#dynos.delete(spec.id);
      if (error instanceof EngineError) throw error;
      throw new EngineError("failed", `The dyno ${spec.name} could not be started.`, error);
    } finally {
      this.#came++;
    }
    const address = dyno.network.address;
    const health = spec.checks && healthOf(spec.checks, []);
    const since = this.#shop.clock.now();
    dyno.state = { kind: "running", since, listening: false, address, ...(health && { health }) };
    logger.info("dyno.started", { dynoId: spec.id, ms: Math.round(performance.now() - began) });
    this.#tell(spec.id);
    this.#begin(dyno.folder.setMarks(marks));
    this.#attend(dyno, null);
    this.#begin(this.#look(dyno)); // it may have ended before anybody looked
  }

  /**
   * No overlay that is never synced is mounted while the disk below had an error that nobody has seen yet. Now somebody has, and the next
   * start may go well.
   */
  async #seeDiskErrors(): Promise<void> {
    const { store, instance, logger } = this.#shop;
    if (store.mechanism === "image") return; // each has its own
    await run("sync", ["--file-system", volumesFolderOf(instance.paths.host)]).catch((error: unknown) => {
      logger.warn("engine.disk_error", { error });
    });
  }

  async startMarks(id: string): Promise<StartMarks | null> {
    const dyno = this.#dynos.get(id);
    if (dyno === undefined) return null;
    return { ...dyno.labels.marks, ...(dyno.marks ?? (await dyno.folder.marks())) };
  }

  async signal(id: string, signal: DynoSignal): Promise<void> {
    await this.#serial.run(id, async () => {
      const dyno = this.#dynos.get(id);
      if (dyno?.state.kind === "running")
        await runtimeOf(this.#shop, dyno.labels.isolation).signal(id, signal, this.#shop.clock);
    });
  }

  async remove(id: string): Promise<void> {
    checkUuid(id);
    await this.#serial.run(id, async () => {
      const dyno = this.#dynos.get(id);
      await this.#parts.tombstones.add(id);
      await this.#parts.ahead.discard(id);
      await this.#parts.standbys.discard(id);
      if (dyno) {
        if (dyno.state.kind !== "ended") await this.#end(dyno, null, this.#shop.clock.now());
        dyno.heard.abort();
        await dyno.tidied;
        await takeApart(this.#shop, dyno.folder, id); // again, should it have failed before
        await dyno.folder.remove();
      }
      await this.#shop.logs.remove(id);
      this.#dynos.delete(id);
    });
    this.#tell(id);
  }

  async resize(id: string, rows: number, columns: number): Promise<void> {
    const dyno = this.#dynos.get(id);
    if (dyno?.state.kind !== "running" || dyno.labels.terminal === null) return;
    await setTerminalSize(dyno.folder, { rows, columns });
  }

  async input(id: string): Promise<Writable> {
    const dyno = this.#running(id);
    if (!dyno.labels.stdin) throw new EngineError("invalid", `The dyno ${dyno.labels.name} has no standard input.`);
    const script = join(this.#shop.programFolder, "src/engine/local/attach.pl");
    const child = startProgram("perl", [script], {
      env: { STATOR_ATTACH: dyno.folder.file("attach") },
      stdio: ["pipe", "ignore", "ignore"],
    });
    child.on("error", (error) => this.#shop.logger.error("dyno.input_failed", { dynoId: id, error }));
    if (child.stdin === null) throw new Error("perl has no standard input");
    child.stdin.on("error", () => {}); // the dyno ended before its input did; whoever writes sees the stream close
    return child.stdin;
  }

  async io(id: string, signal: AbortSignal): Promise<ByteStream> {
    const dyno = this.#running(id);
    if (dyno.io === null)
      throw new EngineError(dyno.labels.io ? "unavailable" : "invalid", `The dyno ${dyno.labels.name} has no stream.`);
    return dyno.io.stream(signal);
  }

  async exec(id: string, request: ExecRequest): Promise<ByteStream> {
    const { folder, labels, life } = this.#running(id);
    return this.#sessions.open({ id, folder, isolation: labels.isolation, life: life.signal }, request);
  }

  watch(listener: (dynoId: string | undefined) => void): Disposable {
    this.#watchers.add(listener);
    return { [Symbol.dispose]: () => void this.#watchers.delete(listener) };
  }

  notices(listener: (notice: EngineNotice) => void): Disposable {
    this.#noticeListeners.add(listener);
    return { [Symbol.dispose]: () => void this.#noticeListeners.delete(listener) };
  }

  isolationRefusal(isolation: Isolation): Promise<string | null> {
    return this.#parts.isolations.refusal(isolation);
  }

  hasSlug(slug: SlugRef): Promise<boolean> {
    return this.#shop.slugs.has(slug);
  }

  async putSlug(slug: SlugRef, tar: Readable): Promise<void> {
    await this.#shop.slugs.put(slug, tar);
  }

  async removeSlug(slug: SlugRef): Promise<void> {
    await this.#shop.slugs.removeUnless(slug, () => this.#usesSlug(slug));
  }

  async removeApp(appId: string, uidIndex: number): Promise<void> {
    checkUuid(appId);
    const live = [...this.#dynos.values()].find(
      ({ labels, state }) => labels.appId === appId && state.kind !== "ended",
    );
    if (live) throw new EngineError("invalid", `The app's dyno ${live.labels.name} has not ended.`);
    await this.#parts.ahead.discardAll(appId);
    const { repo, cache } = appVolumesOf(appId);
    for (const name of [repo, cache]) await this.#shop.store.remove(name);
    for (const slug of await this.#shop.slugs.listOf(uidIndex)) await this.removeSlug(slug);
    await this.#shop.network.forgetApp(appId);
  }

  async setEgress(appId: string, rules: readonly EgressRule[]): Promise<void> {
    checkUuid(appId);
    checkEgress(rules);
    await this.#shop.network.setEgress(appId, rules);
  }

  async trimLog(id: string, segment: number): Promise<void> {
    checkUuid(id);
    await this.#shop.logs.trim(id, segment);
  }

  /** Dynos live on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#exits?.close();
    this.#refusals[Symbol.dispose]();
    this.#sessions[Symbol.dispose]();
    for (const { life, io } of this.#dynos.values()) {
      life.abort();
      io?.close();
    }
    while (this.#background.size > 0) await Promise.all(this.#background);
    await this.#parts.ahead[Symbol.asyncDispose]();
    await this.#parts.standbys[Symbol.asyncDispose]();
    await this.#shop.userLimits[Symbol.asyncDispose]();
    await this.#shop.migration[Symbol.asyncDispose]();
    await this.#shop.store[Symbol.asyncDispose]();
  }

  #adopt({ folder, labels, state, network, started, known }: Adopted): void {
    // Without its limits it counts as its size would now, and like a build where the operator took the size away.
    const size = labels.limits ?? sizeNamed(labels.size) ?? BUILD_SIZE;
    const life = new AbortController();
    const conmon = started?.conmon ?? null;
    const dyno: Dyno = {
      labels,
      folder,
      size,
      state,
      network,
      conmon,
      io: null,
      life,
      heard: new AbortController(),
      ending: null,
      tidied: Promise.resolve(),
    };
    this.#dynos.set(labels.id, dyno);
    if (state.kind === "ended") this.#tidy(dyno);
    else this.#begin(endLostSessions(folder));
    resume(conmon);
    if (network) this.#byNetwork.set(network.index, labels.id);
    this.#attend(dyno, known);
  }

  #running(id: string): Dyno {
    const dyno = this.#dynos.get(id);
    if (dyno?.state.kind !== "running") throw new EngineError("not_found", `There is no running dyno ${id}.`);
    return dyno;
  }

  #usesSlug({ digest, uidIndex }: SlugRef): boolean {
    return [...this.#dynos.values()].some(
      ({ labels, state }) => labels.slugDigest === digest && labels.uidIndex === uidIndex && state.kind !== "ended",
    );
  }

  /** Why it cannot fit; undefined: it can. */
  #capacityRefusal(spec: DynoSpec, size: DynoSize): string | undefined {
    const taken = [...this.#dynos.values()]
      .filter(({ state }) => state.kind !== "ended")
      .reduce((sum, dyno) => sum + dyno.size.memoryMb, 0);
    return refusalOf({ name: spec.name, size, takenMb: taken, memoryMb: this.#parts.memoryMb });
  }

  /** Finds out in the background whether it listens, and what its checks say. `known`: by an earlier host process. */
  #attend(dyno: Dyno, known: readonly CheckProgress[] | null): void {
    const { labels, state, network, life, folder } = dyno;
    const listening = this.#awaitPort(dyno);
    this.#begin(listening.then(() => {}));
    const { id, appId, port, checks } = labels;
    if (checks === undefined || state.kind !== "running" || network === null) return;
    const { runtime, clock } = this.#shop;
    const probe = (index: number): Promise<ProbeResult> => {
      const check = checks[index];
      if (check === undefined) throw new Error(`dyno ${id} has no check ${index}`);
      const { timeoutMs } = check;
      const target = { id, folder, runtime, address: network.address, port: port ?? 0, clock, signal: life.signal };
      return check.probe.kind === "http"
        ? probeHttp(check.probe, target, timeoutMs)
        : probeCommand(check.probe, index, target, timeoutMs);
    };
    const note: Patient["note"] = (health, progress, isNews) => this.#noteHealth(dyno, health, progress, isNews);
    const { since } = state;
    this.#begin(this.#health.watch({ id, appId, checks, since, known, listening, life: life.signal, probe, note }));
  }

  /**
   * What anybody acts on is written down first: it must not be otherwise after our own restart. Where that fails the next answer
   * tries again, and what is known counts all the same: asking must not end by it.
   */
  async #noteHealth(dyno: Dyno, health: Health, progress: readonly CheckProgress[], isNews: boolean): Promise<void> {
    const { id } = dyno.labels;
    if (isNews || dyno.owesHealth === true) {
      dyno.owesHealth = !(await this.#noted(id, () =>
        this.#serial.run(id, async () => {
          if (dyno.state.kind === "running") await dyno.folder.setHealth(progress);
        }),
      ));
    }
    if (dyno.state.kind !== "running") return;
    dyno.state = { ...dyno.state, health };
    if (isNews) this.#tell(id);
  }

  /** Waits until its port accepts a connection, then says so. False if it never does. */
  async #awaitPort(dyno: Dyno): Promise<boolean> {
    const { id, port } = dyno.labels;
    if (port === null || dyno.state.kind !== "running" || dyno.network === null) return false;
    if (dyno.state.listening) return true;
    if (!(await accepts(dyno.network.address, port, this.#shop.clock, dyno.life.signal))) return false;
    const marks = { ...dyno.marks, listening: monotonicMs() };
    dyno.marks = marks;
    await this.#noted(id, () => dyno.folder.setListening()); // else it is asked anew after our own restart
    await this.#noted(id, () => dyno.folder.setMarks(marks));
    if (dyno.state.kind !== "running") return false;
    dyno.state = { ...dyno.state, listening: true };
    this.#tell(id);
    return true;
  }

  /** Whether it could be written down. */
  async #noted(dynoId: string, write: () => Promise<void>): Promise<boolean> {
    try {
      await write();
      return true;
    } catch (error) {
      this.#shop.logger.warn("dyno.note_failed", { dynoId, error });
      return false;
    }
  }

  /** Sees whether a dyno has ended, or lost its conmon, which alone could tell how it ends. */
  async #look(dyno: Dyno): Promise<void> {
    if (dyno.state.kind !== "running") return;
    const lost = dyno.conmon !== null && !isAlive(dyno.conmon);
    const status = dyno.folder.exitStatus(); // after: conmon writes it before it goes
    if (status === undefined && !lost) return;
    if (status === undefined) this.#shop.logger.warn("dyno.lost", { dynoId: dyno.labels.id });
    await this.#end(
      dyno,
      status ?? null,
      status === undefined ? this.#shop.clock.now() : await exitTime(this.#parts, dyno),
    );
  }

  #end(dyno: Dyno, status: number | null, at: number): Promise<void> {
    dyno.ending ??= this.#finish(dyno, status, at).catch((error: unknown) => {
      dyno.ending = null; // the next look, or `remove`, tries again
      throw error;
    });
    return dyno.ending;
  }

  async #finish(dyno: Dyno, status: number | null, at: number): Promise<void> {
    const { id } = dyno.labels;
    const kill = memoryKillOf(this.#shop.cgroups, id);
    const outOfMemory = kill === "own";
    const peak = outOfMemory ? await peakMemoryBytes(this.#shop.cgroups, id) : null;
    const ended: EndedFacts = {
      kind: "ended",
      at,
      status,
      outOfMemory,
      ...(kill === "machine" && { machineOutOfMemory: true }),
      ...(peak !== null && { memoryBytes: peak }),
    };
    await dyno.folder.setEnded(ended);
    dyno.state = ended;
    dyno.life.abort();
    dyno.io?.close();
    this.#shop.logger.info("dyno.ended", { dynoId: id, status, outOfMemory });
    if (kill === "machine") this.#shop.logger.warn("dyno.machine_out_of_memory", { dynoId: id, status });
    this.#tell(id);
    this.#tidy(dyno);
  }

  /** Frees what an ended dyno held, in the background, and not before whoever waits for its end has heard of it. */
  #tidy(dyno: Dyno): void {
    const { id } = dyno.labels;
    const { network, folder } = dyno;
    const soon = AbortSignal.any([dyno.heard.signal, this.#stop.signal]);
    dyno.tidied = this.#shop.clock
      .sleep(TIDY_AFTER_MS, soon)
      .catch(() => {}) // it is asked for already
      .then(() => takeApart(this.#shop, folder, id))
      .then(() => {
        if (network && this.#byNetwork.get(network.index) === id) this.#byNetwork.delete(network.index);
      })
      .catch((error: unknown) => this.#shop.logger.error("dyno.take_apart_failed", { dynoId: id, error }));
    this.#begin(dyno.tidied);
  }

  async #patrol(): Promise<void> {
    const { clock, logger } = this.#shop;
    const { signal } = this.#stop;
    for (let round = 0; !signal.aborted; round++) {
      await clock.sleep(PATROL_MS, signal).catch(() => {}); // aborted: the loop sees it
      try {
        await this.#patrolRound(round);
      } catch (error) {
        logger.warn("engine.patrol_failed", { error });
      }
    }
  }

  async #patrolRound(round: number): Promise<void> {
    // Each round takes its part of the dynos, so that none takes long.
    const partOf = (rounds: number) => [...this.#dynos.values()].filter((_, at) => at % rounds === round % rounds);
    await this.#patrolOnce(new Set(partOf(THOROUGH_ROUNDS)));
    // Version 1 kills one process where the whole dyno should end.
    const kills = this.#shop.cgroups.kind === "v1" ? this.#kills.look() : "none";
    if (kills === "some") await this.#endWithoutMemory([...this.#dynos.values()]);
    if (kills === "unknown") await this.#endWithoutMemory(partOf(OUT_OF_MEMORY_ROUNDS));
  }

  /**
   * Of nearly all it is told by few looks that they are as they were: no end was written, and as many watchers live as before, or
   * a process of the watcher's number lives.
   */
  async #patrolOnce(thoroughly?: ReadonlySet<Dyno>): Promise<void> {
    const ends = new Set(readdirSync(join(this.#parts.bundles, EXITS)));
    const [count, came] = [watcherCount(this.#shop.cgroups), this.#came]; // before it is seen who lives
    const areAllThere = count !== undefined && this.#watched?.count === count && this.#watched.came === came;
    this.#watched = count === undefined ? undefined : { count, came };
    await Promise.all(this.#changed(ends, thoroughly, areAllThere).map((dyno) => this.#lookSafely(dyno)));
  }

  /** Those that may not be as they were. */
  #changed(ends: ReadonlySet<string>, thoroughly: ReadonlySet<Dyno> | undefined, areAllThere: boolean): Dyno[] {
    if (thoroughly !== undefined && areAllThere) {
      const ended = [...ends].flatMap((id) => this.#dynos.get(id) ?? []);
      return [...new Set([...thoroughly, ...ended])];
    }
    const isSame = (dyno: Dyno): boolean =>
      thoroughly?.has(dyno) === false && !ends.has(dyno.labels.id) && dyno.conmon !== null && isThere(dyno.conmon.pid);
    return [...this.#dynos.values()].filter((dyno) => !isSame(dyno));
  }

  /** One whose look fails is looked at again, and keeps nobody from the others. */
  async #lookSafely(dyno: Dyno): Promise<void> {
    try {
      await this.#look(dyno);
    } catch (error) {
      this.#watched = undefined; // the next round goes by no count
      this.#shop.logger.warn("dyno.look_failed", { dynoId: dyno.labels.id, error });
    }
  }

  /** Ends what is left of dynos of which the kernel killed a process at the ceiling. Builds say by themselves what happened. */
  async #endWithoutMemory(dynos: readonly Dyno[]): Promise<void> {
    for (const { labels, state } of dynos) {
      if (state.kind !== "running" || labels.kind === "build") continue;
      if (memoryKillOf(this.#shop.cgroups, labels.id) === undefined) continue;
      this.#shop.logger.info("dyno.out_of_memory", { dynoId: labels.id });
      await this.signal(labels.id, "KILL").catch((error: unknown) => {
        this.#shop.logger.warn("dyno.kill_failed", { dynoId: labels.id, error });
      });
    }
  }

  /** Tried now, so that the first app that asks need not wait. */
  async #tellIsolations(): Promise<void> {
    for (const isolation of ISOLATIONS) {
      const refusal = await this.#parts.isolations.refusal(isolation);
      this.#shop.logger.info("engine.isolation", { isolation, refusal });
    }
  }

  async #rotateLogs(): Promise<void> {
    const { clock, logs, logger } = this.#shop;
    const { signal } = this.#stop;
    let floodLooks = 0;
    for (let round = 0; !signal.aborted; round++) {
      await clock.sleep(floodLooks > 0 ? FLOOD_LOOK_MS : LOG_LOOK_MS, signal).catch(() => {}); // aborted: the loop sees it
      const isTurn = round % ALL_LOGS_EVERY === 0;
      if (floodLooks === 0 && !logs.mayHaveFilled() && !(isTurn && logs.mayHaveGrown())) continue;
      logs.allSeen();
      floodLooks = this.#slowed.size > 0 ? FLOOD_LOOKS : Math.max(0, floodLooks - 1);
      for (const dyno of this.#dynos.values()) {
        const { labels, folder, state } = dyno;
        if (state.kind !== "running" || signal.aborted || this.#slowed.has(labels.id)) continue;
        try {
          const bytes = await logs.rotate(labels.id, folder.file("ctl"));
          if (bytes === 0) continue;
          floodLooks = FLOOD_LOOKS;
          this.#begin(this.#slowDown(dyno, bytes));
        } catch (error) {
          logger.warn("dyno.rotate_failed", { dynoId: labels.id, error });
        }
      }
    }
  }

  /** Drops what is beyond the allowance, and holds a flood to its rate. */
  async #slowDown({ labels: { id }, conmon, life }: Dyno, bytes: number): Promise<void> {
    const { clock, logs, logger } = this.#shop;
    const signal = AbortSignal.any([life.signal, this.#stop.signal]);
    const pauseMs = Math.min(LOG_PAUSE_MS_MAX, bytes / LOG_BYTES_PER_MS);
    this.#slowed.add(id);
    if (conmon !== null && isAlive(conmon)) killQuietly(conmon.pid, "SIGSTOP");
    try {
      await Promise.all([logs.dropBeyondAllowance(id), clock.sleep(pauseMs, signal).catch(() => {})]); // it has ended
    } catch (error) {
      logger.warn("dyno.drop_failed", { dynoId: id, error });
    } finally {
      resume(conmon);
      this.#slowed.delete(id);
    }
  }

  #tell(dynoId: string): void {
    for (const watcher of this.#watchers) watcher(dynoId);
  }

  /** Work that nobody waits for, but `dispose`. */
  #begin(work: Promise<void>): void {
    const done = work
      .catch((error: unknown) => this.#shop.logger.error("engine.background_failed", { error }))
      .finally(() => this.#background.delete(done));
    this.#background.add(done);
  }
}

/** Whether any process has this number; it costs a hundredth of reading what the process is. */
function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Also of a conmon that an earlier host process left standing still. */
function resume(conmon: ProcessRef | null): void {
  if (conmon !== null && isAlive(conmon)) killQuietly(conmon.pid, "SIGCONT");
}

async function exitTime({ bundles, shop }: LocalEngineParts, dyno: Dyno): Promise<number> {
  const facts = await stat(join(bundles, EXITS, dyno.labels.id)).catch(() => undefined); // removed meanwhile
  return Math.round(facts?.mtimeMs ?? shop.clock.now());
}
