import { type FSWatcher, watch } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { start as startProgram } from "../../lib/command.ts";
import { monotonicMs } from "../../lib/monotonic.ts";
import { type DynoSize, sizeNamed } from "../../model/size.ts";
import {
  type ByteStream,
  type DynoSignal,
  type DynoSpec,
  type Engine,
  EngineError,
  type EngineNotice,
  type ObservedDyno,
  type ObservedState,
  type SlugRef,
  type StartMarks,
  type StartStep,
} from "../engine.ts";
import { type Adopted, adoptDynos } from "./adopt.ts";
import { ranOutOfMemory } from "./cgroup.ts";
import { DynoFolder, type EndedFacts, EXITS, isAlive, type Labels, type ProcessRef } from "./dyno-folder.ts";
import { writeFifo } from "./fifo.ts";
import type { IoSocket } from "./io-socket.ts";
import type { DynoNetwork } from "./network.ts";
import { accepts } from "./readiness.ts";
import { Gate, Serial } from "./serial.ts";
import { checkSpec, checkUuid } from "./spec-check.ts";
import type { Tombstones } from "./tombstones.ts";
import { appVolumesOf, make, takeApart, type Workshop } from "./workshop.ts";

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
  /** Begun when its end was seen, by whoever saw it first. */
  ending: Promise<void> | null;
  /** Freeing what it held, once it has ended. */
  tidied: Promise<void>;
  /** Steps of its start; undefined for one that an earlier process started. */
  marks?: StartMarks;
}

export interface LocalEngineParts {
  readonly shop: Workshop;
  readonly bundles: string;
  readonly tombstones: Tombstones;
  /** Sum of the memory quotas of all dynos that live. */
  readonly capacityMb: number;
}

/** More at a time gains nothing on two processors (facts 1), and would starve what runs. */
const STARTS_AT_ONCE = 4;
const PATROL_MS = 1000;
/** Every so many patrols also see whether a process is still the one that it was. */
const THOROUGH_EVERY = 10;
const LOG_LOOK_MS = 500;
/** A flood writes 80 MB a second (facts 5). */
const FLOOD_LOOK_MS = 50;

/** Dynos as OCI containers on this machine, inside the root host process. */
export class LocalEngine implements Engine, AsyncDisposable {
  readonly #parts: LocalEngineParts;
  readonly #shop: Workshop;
  readonly #dynos = new Map<string, Dyno>();
  readonly #byNetwork = new Map<number, string>();
  readonly #serial = new Serial();
  readonly #starts = new Gate(STARTS_AT_ONCE);
  readonly #watchers = new Set<(dynoId: string | undefined) => void>();
  readonly #noticeListeners = new Set<(notice: EngineNotice) => void>();
  readonly #stop = new AbortController();
  readonly #background = new Set<Promise<void>>();
  readonly #refusals: Disposable;
  #exits: FSWatcher | undefined;

  static async open(parts: LocalEngineParts): Promise<LocalEngine> {
    const adopted = await adoptDynos(parts.shop, parts.bundles, parts.tombstones);
    const engine = new LocalEngine(parts);
    for (const dyno of adopted) engine.#adopt(dyno);
    await engine.#patrolOnce();
    engine.#begin(engine.#patrol());
    engine.#begin(engine.#rotateLogs());
    return engine;
  }

  private constructor(parts: LocalEngineParts) {
    this.#parts = parts;
    this.#shop = parts.shop;
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

  /** Where the router sends a dyno's requests; undefined unless it runs and was given a port. */
  endpointOf(dynoId: string): { readonly address: string; readonly port: number } | undefined {
    const dyno = this.#dynos.get(dynoId);
    if (dyno?.state.kind !== "running" || dyno.state.address === null || dyno.labels.port === null) return undefined;
    return { address: dyno.state.address, port: dyno.labels.port };
  }

  async start(spec: DynoSpec): Promise<void> {
    const size = checkSpec(spec);
    await this.#serial.run(spec.id, async () => {
      if (this.#dynos.has(spec.id)) return;
      if (this.#parts.tombstones.has(spec.id)) throw new EngineError("gone", `The dyno ${spec.id} was removed.`);
      this.#checkCapacity(spec, size);
      const { env: _env, ...labels } = spec;
      const dyno: Dyno = {
        labels: { ...labels, createdAt: this.#shop.clock.now() },
        folder: new DynoFolder(this.#parts.bundles, spec.id),
        size,
        state: { kind: "creating", since: this.#shop.clock.now() },
        network: null,
        conmon: null,
        io: null,
        life: new AbortController(),
        ending: null,
        tidied: Promise.resolve(),
      };
      this.#dynos.set(spec.id, dyno); // from here on its memory is taken
      await this.#starts.run(() => this.#make(dyno, spec));
    });
  }

  async #make(dyno: Dyno, spec: DynoSpec): Promise<void> {
    const { logger } = this.#shop;
    const began = performance.now();
    const marks: Partial<Record<StartStep, number>> = { received: monotonicMs() };
    dyno.marks = marks;
    try {
      await dyno.folder.create(dyno.labels);
      const { network, conmon, io } = await make(this.#shop, dyno.folder, spec, dyno.size, (step) => {
        marks[step] = monotonicMs();
      });
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
      this.#dynos.delete(spec.id);
      if (error instanceof EngineError) throw error;
      throw new EngineError("failed", `The dyno ${spec.name} could not be started.`, error);
    }
    const address = dyno.network.address;
    dyno.state = { kind: "running", since: this.#shop.clock.now(), listening: false, address };
    logger.info("dyno.started", { dynoId: spec.id, ms: Math.round(performance.now() - began) });
    this.#tell(spec.id);
    this.#begin(dyno.folder.setMarks(marks).then(() => this.#awaitPort(dyno)));
    this.#begin(this.#look(dyno)); // it may have ended before anybody looked
  }

  async startMarks(id: string): Promise<StartMarks | null> {
    const dyno = this.#dynos.get(id);
    if (dyno === undefined) return null;
    return { ...dyno.labels.marks, ...(dyno.marks ?? (await dyno.folder.marks())) };
  }

  async signal(id: string, signal: DynoSignal): Promise<void> {
    await this.#serial.run(id, async () => {
      if (this.#dynos.get(id)?.state.kind === "running") await this.#shop.runtime.signal(id, signal);
    });
  }

  async remove(id: string): Promise<void> {
    checkUuid(id);
    await this.#serial.run(id, async () => {
      const dyno = this.#dynos.get(id);
      await this.#parts.tombstones.add(id);
      if (dyno) {
        if (dyno.state.kind !== "ended") await this.#end(dyno, null, this.#shop.clock.now());
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
    await writeFifo(dyno.folder.file("ctl"), `1 ${Math.trunc(rows)} ${Math.trunc(columns)}\n`);
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

  watch(listener: (dynoId: string | undefined) => void): Disposable {
    this.#watchers.add(listener);
    return { [Symbol.dispose]: () => void this.#watchers.delete(listener) };
  }

  notices(listener: (notice: EngineNotice) => void): Disposable {
    this.#noticeListeners.add(listener);
    return { [Symbol.dispose]: () => void this.#noticeListeners.delete(listener) };
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
    const { repo, cache } = appVolumesOf(appId);
    for (const name of [repo, cache]) await this.#shop.store.remove(name);
    for (const slug of await this.#shop.slugs.listOf(uidIndex)) await this.removeSlug(slug);
    await this.#shop.network.forgetApp(appId);
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
    for (const { life, io } of this.#dynos.values()) {
      life.abort();
      io?.close();
    }
    while (this.#background.size > 0) await Promise.all(this.#background);
    await this.#shop.store[Symbol.asyncDispose]();
  }

  #adopt({ folder, labels, state, network, started }: Adopted): void {
    const size = sizeNamed(labels.size);
    if (size === undefined) throw new Error(`dyno ${labels.id} has an unknown size, ${labels.size}`);
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
      ending: null,
      tidied: Promise.resolve(),
    };
    this.#dynos.set(labels.id, dyno);
    if (state.kind === "ended") this.#tidy(dyno);
    if (network) this.#byNetwork.set(network.index, labels.id);
    this.#begin(this.#awaitPort(dyno));
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

  #checkCapacity(spec: DynoSpec, size: DynoSize): void {
    const taken = [...this.#dynos.values()]
      .filter(({ state }) => state.kind !== "ended")
      .reduce((sum, dyno) => sum + dyno.size.memoryMb, 0);
    const free = this.#parts.capacityMb - taken;
    if (size.memoryMb <= free) return;
    const asked = `${spec.name} asks for ${size.memoryMb} MB (${size.name})`;
    const there = `${Math.max(0, free)} MB of this machine's ${this.#parts.capacityMb} MB for dynos are free`;
    throw new EngineError("no_capacity", `No room: ${asked}, ${there}.`);
  }

  /** Waits until its port accepts a connection, then says so. */
  async #awaitPort(dyno: Dyno): Promise<void> {
    const { id, port } = dyno.labels;
    if (port === null || dyno.state.kind !== "running" || dyno.state.listening || dyno.network === null) return;
    if (!(await accepts(dyno.network.address, port, this.#shop.clock, dyno.life.signal))) return;
    dyno.marks = { ...dyno.marks, listening: monotonicMs() };
    await dyno.folder.setListening();
    await dyno.folder.setMarks(dyno.marks);
    if (dyno.state.kind !== "running") return;
    dyno.state = { ...dyno.state, listening: true };
    this.#tell(id);
  }

  /** Sees whether a dyno has ended, or lost its conmon, which alone could tell how it ends. */
  async #look(dyno: Dyno): Promise<void> {
    if (dyno.state.kind !== "running") return;
    const lost = dyno.conmon !== null && !(await isAlive(dyno.conmon));
    const status = await dyno.folder.exitStatus(); // after: conmon writes it before it goes
    if (status === undefined && !lost) return;
    if (status === undefined) this.#shop.logger.warn("dyno.lost", { dynoId: dyno.labels.id });
    await this.#end(
      dyno,
      status ?? null,
      status === undefined ? this.#shop.clock.now() : await exitTime(this.#parts, dyno),
    );
  }

  #end(dyno: Dyno, status: number | null, at: number): Promise<void> {
    dyno.ending ??= this.#finish(dyno, status, at);
    return dyno.ending;
  }

  async #finish(dyno: Dyno, status: number | null, at: number): Promise<void> {
    const { id } = dyno.labels;
    const outOfMemory = await ranOutOfMemory(this.#shop.cgroups, id);
    const ended: EndedFacts = { kind: "ended", at, status, outOfMemory };
    await dyno.folder.setEnded(ended);
    dyno.state = ended;
    dyno.life.abort();
    dyno.io?.close();
    this.#shop.logger.info("dyno.ended", { dynoId: id, status, outOfMemory });
    this.#tell(id);
    this.#tidy(dyno);
  }

  /** Frees what an ended dyno held, in the background. */
  #tidy(dyno: Dyno): void {
    const { id } = dyno.labels;
    const network = dyno.network;
    dyno.tidied = takeApart(this.#shop, dyno.folder, id)
      .then(() => {
        if (network && this.#byNetwork.get(network.index) === id) this.#byNetwork.delete(network.index);
      })
      .catch((error: unknown) => this.#shop.logger.error("dyno.take_apart_failed", { dynoId: id, error }));
    this.#begin(dyno.tidied);
  }

  async #patrol(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#shop.clock.sleep(PATROL_MS, signal).catch(() => {}); // aborted: the loop sees it
      await this.#patrolOnce();
    }
  }

  async #patrolOnce(): Promise<void> {
    const dynos = [...this.#dynos.values()];
    // One look each at the list of ends and of processes tells of nearly all that they are as they were.
    const isThorough = this.#patrols++ % THOROUGH_EVERY === 0;
    const ends = new Set(await readdir(join(this.#parts.bundles, EXITS)));
    const processes = isThorough ? undefined : new Set(await readdir("/proc"));
    const isSame = ({ labels: { id }, conmon }: Dyno): boolean =>
      processes !== undefined && !ends.has(id) && conmon !== null && processes.has(String(conmon.pid));
    await Promise.all(dynos.filter((dyno) => !isSame(dyno)).map((dyno) => this.#look(dyno)));
  }
  #patrols = 0;

  async #rotateLogs(): Promise<void> {
    const { clock, logs, logger } = this.#shop;
    const { signal } = this.#stop;
    let isFlood = false;
    while (!signal.aborted) {
      await clock.sleep(isFlood ? FLOOD_LOOK_MS : LOG_LOOK_MS, signal).catch(() => {}); // aborted: the loop sees it
      const flooding: string[] = [];
      for (const { labels, folder, state } of this.#dynos.values()) {
        if (state.kind !== "running" || signal.aborted) continue;
        try {
          if (await logs.rotate(labels.id, folder.file("ctl"))) flooding.push(labels.id);
        } catch (error) {
          logger.warn("dyno.rotate_failed", { dynoId: labels.id, error });
        }
      }
      for (const id of flooding)
        await logs.dropBeyondAllowance(id).catch((error: unknown) => {
          logger.warn("dyno.drop_failed", { dynoId: id, error });
        });
      isFlood = flooding.length > 0;
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

async function exitTime({ bundles, shop }: LocalEngineParts, dyno: Dyno): Promise<number> {
  const facts = await stat(join(bundles, EXITS, dyno.labels.id)).catch(() => undefined); // removed meanwhile
  return Math.round(facts?.mtimeMs ?? shop.clock.now());
}
