import { existsSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { monotonicMs } from "../../lib/monotonic.ts";
import type { DynoSize } from "../../model/size.ts";
import type { DynoSpec, StartStep } from "../engine.ts";
import { DynoFolder, isAlive, labelsOf } from "./dyno-folder.ts";
import { Standbys } from "./standbys.ts";
import { create, type Made, type Waiting as Standby, takeAway, type Workshop } from "./workshop.ts";

/** A dyno that was created before it was asked for; its command has not begun. */
export interface StartAhead {
  readonly created: Made;
  readonly marks: Readonly<Partial<Record<StartStep, number>>>;
}

interface Waiting {
  readonly spec: DynoSpec;
  readonly size: DynoSize;
  readonly folder: DynoFolder;
  readonly created: Promise<Made>;
  readonly marks: Partial<Record<StartStep, number>>;
  readonly claimed: AbortController;
}

/** As many as are made at a time. */
const AHEAD_MAX = 4;
/** Those of as many starts that were asked for wait beside them. */
const FIFOS = 2 * AHEAD_MAX + Standbys.fifos;
/** Who said that a dyno is coming has asked for it by then, or never will. */
const PATIENCE_MS = 10_000;
const AGAIN_MS = 5_000;

/**
 * Starts that are begun before they are asked for: the container is made while the daemon writes down that the dyno should run, and its command
 * waits for the word that it is.
 */
export class StartsAhead implements AsyncDisposable {
  readonly #shop: Workshop;
  readonly #bundles: string;
  readonly #standbys: Standbys;
  readonly #waiting = new Map<string, Waiting>();
  readonly #ending = new Map<string, Promise<void>>();
  readonly #closed = new AbortController();
  #isOpen = false;
  /** Whether the id is that of a dyno which was asked for. */
  #isTaken: (id: string) => boolean = () => false;

  constructor(shop: Workshop, bundles: string, standbys: Standbys) {
    this.#shop = shop;
    this.#bundles = bundles;
    this.#standbys = standbys;
  }

  /** Whose folders are no longer ours. */
  leave(isTaken: (id: string) => boolean): void {
    this.#isTaken = isTaken;
  }

  /**
   * From here on runtimes wait for their configuration, and starts are begun ahead, if `trial` succeeds with one: not every runtime may wait as
   * the one with which this was tried. A success is remembered, for that program, until the machine restarts. Resolves with whether they may.
   */
  async open(trial: (ahead: StartsAhead) => Promise<void>): Promise<boolean> {
    const { logger, runtime, fifos } = this.#shop;
    if (runtime.name !== "crun") return false;
    const remembered = join(this.#bundles, "ahead");
    try {
      const program = runtime.stamp();
      await fifos.open(FIFOS);
      this.#isOpen = true;
      if ((await readFile(remembered, "utf8").catch(() => "")) === program) return true; // the first time
      await trial(this);
      writeFileSync(remembered, program);
      return true;
    } catch (error) {
      this.#isOpen = false;
      fifos.close();
      logger.warn("engine.not_ahead", { message: "Dynos start some milliseconds later than they could.", error });
      return false;
    }
  }

  /** Does nothing where as many as there may be wait already, and for what is not made of a container alone. */
  begin(spec: DynoSpec, size: DynoSize): void {
    const { id } = spec;
    if (!this.#isOpen || this.#waiting.size >= AHEAD_MAX || this.#waiting.has(id) || this.#ending.has(id)) return;
    const folder = new DynoFolder(this.#bundles, id);
    if (spec.isolation !== "container" || spec.io) return;
    const standby = this.#standbys.take(spec);
    if (standby === undefined && existsSync(folder.path)) return;
    const marks: Partial<Record<StartStep, number>> = {};
    const mark = (step: StartStep) => void (marks[step] = monotonicMs());
    const created = this.#create(spec, size, folder, { mark, standby });
    created.catch((error: unknown) => this.#shop.logger.warn("engine.not_begun", { dynoId: id, error }));
    const waiting = { spec, size, folder, created, marks, claimed: new AbortController() };
    this.#waiting.set(id, waiting);
    void this.#discardLate(waiting);
  }

  /** The one that was begun as this dyno, once its container is there. undefined: none was, it is another, or it failed; nothing of it is left. */
  async take(spec: DynoSpec, size: DynoSize): Promise<StartAhead | undefined> {
    const waiting = this.#waiting.get(spec.id);
    const isSame = waiting !== undefined && textOf(spec, size) === textOf(waiting.spec, waiting.size);
    const created = isSame ? await waiting.created.catch(() => undefined) : undefined; // logged
    const lives = created !== undefined && isAlive(created.conmon) && waiting?.folder.exitStatus() === undefined;
    if (waiting === undefined || !lives || this.#waiting.get(spec.id) !== waiting) {
      await this.discard(spec.id);
      return undefined;
    }
    this.#waiting.delete(spec.id);
    return { created, marks: waiting.marks };
  }

  /** It was asked for: now it waits for its turn, however long that takes. */
  claim(id: string): void {
    this.#waiting.get(id)?.claimed.abort();
  }

  /** Ends one that nobody asks for; afterwards nothing of it is there. */
  async discard(id: string): Promise<void> {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    waiting?.claimed.abort();
    if (waiting !== undefined) this.#end(waiting);
    await this.#ending.get(id);
  }

  /** Of this app alone, or of all. */
  async discardAll(appId?: string): Promise<void> {
    const those = [...this.#waiting.values()].filter(({ spec }) => appId === undefined || spec.appId === appId);
    await Promise.all(those.map(({ spec }) => this.discard(spec.id)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOpen = false;
    this.#closed.abort();
    await this.discardAll();
    await Promise.all(this.#ending.values());
  }

  async #create(
    spec: DynoSpec,
    size: DynoSize,
    folder: DynoFolder,
    options: { readonly mark: (step: StartStep) => void; readonly standby: Standby | undefined },
  ): Promise<Made> {
    await folder.create(labelsOf(spec, size, this.#shop.clock.now()));
    return create(this.#shop, folder, spec, size, options);
  }

  async #discardLate({ spec, claimed }: Waiting): Promise<void> {
    try {
      await this.#shop.clock.sleep(PATIENCE_MS, claimed.signal);
    } catch {
      return; // or discarded
    }
    await this.discard(spec.id);
  }

  #end(waiting: Waiting): void {
    const { id } = waiting.spec;
    const ended = this.#undo(waiting)
      .catch((error: unknown) => {
        this.#shop.logger.error("engine.not_discarded", { dynoId: id, error });
        void this.#endLater(waiting);
      })
      .finally(() => this.#ending.delete(id));
    this.#ending.set(id, ended);
  }

  /** Unless it was asked for meanwhile, and is made of what was left. */
  async #endLater(waiting: Waiting): Promise<void> {
    await this.#shop.clock.sleep(AGAIN_MS, this.#closed.signal).catch(() => {}); // the next host process does it
    if (!this.#closed.signal.aborted && !this.#isTaken(waiting.spec.id)) this.#end(waiting);
  }

  async #undo({ spec: { id }, folder, created }: Waiting): Promise<void> {
    await created.catch(() => {}); // logged
    await takeAway(this.#shop, folder, id);
  }
}

/** The same for the same dyno: when the caller did its part is no part of it. */
function textOf({ marks: _marks, ...spec }: DynoSpec, size: DynoSize): string {
  return JSON.stringify([spec, size]);
}
