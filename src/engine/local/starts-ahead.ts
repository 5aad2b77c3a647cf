import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DynoHint, DynoSpec } from "../engine.ts";
import { type ConfigFifo, ConfigFifos } from "./config-fifo.ts";
import { DynoFolder } from "./dyno-folder.ts";
import type { Begun } from "./runtime.ts";
import type { Workshop } from "./workshop.ts";

/** Of a dyno that is about to be asked for: conmon and the runtime have come up, and wait to be told what to make. */
export interface StartAhead {
  readonly begun: Begun;
  /** Where the runtime waits. */
  readonly config: ConfigFifo;
}

interface Waiting extends StartAhead {
  readonly hint: DynoHint;
  readonly folder: DynoFolder;
  readonly taken: AbortController;
}

/** As many as are made at a time. */
const AHEAD_MAX = 4;
/** Who said that a dyno is coming has asked for it by then, or never will. */
const PATIENCE_MS = 10_000;
const WARM_MS = 50;
const END_MS = 1_000;

/**
 * Starts that are begun before they are asked for. conmon and crun take a fifth of a start until they read what they are to make, and
 * need nothing of the dyno but its id for that: so they come up while the daemon writes down that the dyno should run.
 */
export class StartsAhead implements AsyncDisposable {
  readonly #shop: Workshop;
  readonly #bundles: string;
  readonly #waiting = new Map<string, Waiting>();
  readonly #ending = new Map<string, Promise<void>>();
  #fifos: ConfigFifos | undefined;

  constructor(shop: Workshop, bundles: string) {
    this.#shop = shop;
    this.#bundles = bundles;
  }

  /**
   * From here on starts are begun ahead, if `trial` succeeds with one: not every runtime may wait for its configuration as the one with
   * which this was tried. Found out once, until the machine restarts.
   */
  async open(trial: (ahead: StartsAhead) => Promise<void>): Promise<void> {
    const { logger, runtime } = this.#shop;
    const [works, fails] = [join(this.#bundles, "ahead-works"), join(this.#bundles, "ahead-fails")];
    if (runtime.name !== "crun" || existsSync(fails)) return;
    try {
      this.#fifos = await ConfigFifos.open(join(this.#bundles, ".fifos"), AHEAD_MAX);
      if (!existsSync(works)) await trial(this);
      writeFileSync(works, "");
    } catch (error) {
      this.#fifos = undefined;
      writeFileSync(fails, "");
      logger.warn("engine.not_ahead", { message: "Dynos start some milliseconds later than they could.", error });
    }
  }

  /** Does nothing where as many as there may be wait already, or it cannot be begun. */
  begin(hint: DynoHint): void {
    const { id, isolation, terminal, stdin } = hint;
    const { runtime, logs, migration, logger } = this.#shop;
    const folder = new DynoFolder(this.#bundles, id);
    if (isolation !== "container" || this.#fifos?.hasFree !== true || this.#ending.has(id) || existsSync(folder.path))
      return;
    let config: ConfigFifo | undefined;
    try {
      mkdirSync(folder.path, { mode: 0o700 });
      config = this.#fifos.take(folder.path);
      logs.create(id);
      const begun = runtime.begin({ id, bundle: folder.path, log: logs.pathOf(id), terminal, stdin });
      begun.go();
      const waiting = { hint, folder, begun, config, taken: new AbortController() };
      this.#waiting.set(id, waiting);
      void this.#discardLate(waiting, migration.warm());
    } catch (error) {
      logger.warn("engine.not_begun", { dynoId: id, error });
      void this.#end({ id, folder, config });
    }
  }

  /** The one that was begun for this dyno, whose folder and log are there then. undefined: none was, or it does not fit. */
  async take(spec: DynoSpec): Promise<StartAhead | undefined> {
    const waiting = this.#waiting.get(spec.id);
    if (waiting === undefined || !fits(spec, waiting.hint)) {
      await this.discard(spec.id);
      return undefined;
    }
    this.#waiting.delete(spec.id);
    waiting.taken.abort();
    return waiting;
  }

  /** Ends one that nobody asks for; afterwards nothing of it is there. */
  async discard(id: string): Promise<void> {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    waiting?.taken.abort();
    if (waiting !== undefined) void this.#end({ ...waiting, id });
    await this.#ending.get(id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#waiting.keys()].map((id) => this.discard(id)));
    await Promise.all(this.#ending.values());
  }

  async #discardLate(waiting: Waiting, quick: Disposable): Promise<void> {
    const { clock } = this.#shop;
    const { signal } = waiting.taken;
    try {
      await clock.sleep(WARM_MS, signal).finally(() => quick[Symbol.dispose]());
      await clock.sleep(PATIENCE_MS, signal);
    } catch {
      return; // taken
    }
    await this.discard(waiting.hint.id);
  }

  #end(parts: Parts): Promise<void> {
    const { id } = parts;
    const ended = this.#undo(parts)
      .catch((error: unknown) => this.#shop.logger.warn("engine.not_discarded", { dynoId: id, error }))
      .finally(() => this.#ending.delete(id));
    this.#ending.set(id, ended);
    return ended;
  }

  async #undo({ id, folder, config, begun }: Parts): Promise<void> {
    const { clock, logs } = this.#shop;
    await config?.end();
    const enough = new AbortController();
    const failed = begun?.made.then(
      () => {},
      () => {}, // as it should, with no configuration
    );
    await Promise.race([failed, clock.sleep(END_MS, enough.signal).catch(() => {})]);
    enough.abort();
    begun?.kill();
    await logs.remove(id);
    await folder.remove();
  }
}

function fits({ isolation, terminal, stdin }: DynoSpec, hint: DynoHint): boolean {
  return isolation === hint.isolation && (terminal !== null) === hint.terminal && stdin === hint.stdin;
}

/** What there may be of one that was begun. */
interface Parts {
  readonly id: string;
  readonly folder: DynoFolder;
  readonly config: ConfigFifo | undefined;
  readonly begun?: Begun;
}
