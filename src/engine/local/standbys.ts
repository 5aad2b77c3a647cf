import { randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { Nudge } from "../../lib/nudge.ts";
import type { DynoSpec } from "../engine.ts";
import { DynoFolder } from "./dyno-folder.ts";
import { beginWaiting, type Waiting, type Workshop } from "./workshop.ts";

interface Standby extends Waiting {
  readonly id: string;
  readonly folder: DynoFolder;
  /** Who was told its id; "us": whoever asked this process. */
  owner: Owner | "us" | undefined;
}

interface Owner {
  readonly listener: (id: string) => void;
}

const STANDBYS = 2;
/** They are made while nothing starts: by then one that was let go runs. */
const REFILL_AFTER_MS = 150;
const RETRY_MS = 30_000;
/** A dyno that was given an id is asked for by then, or never is: its record was not written. */
const USED_MS = 30_000;
const ENDED_MS = 5_000;
const LOOK_MS = 60_000;

/**
 * conmon and the runtime, up and waiting at a FIFO for what they are to make, for dynos to come: each under an id that the next dyno
 * gets. So they are not started while somebody waits for them (8 ms here). What is made so far is two processes, a folder and a log.
 */
export class Standbys implements AsyncDisposable {
  readonly #shop: Workshop;
  readonly #bundles: string;
  readonly #all = new Map<string, Standby>();
  readonly #ending = new Map<string, Promise<void>>();
  readonly #bell = new Nudge();
  readonly #closed = new AbortController();
  /** The latest is told of new ones. */
  readonly #owners = new Set<Owner>();
  #filling: Promise<void> | undefined;
  #starts = 0;
  /** Before the next one is made. */
  #restMs = 0;

  constructor(shop: Workshop, bundles: string) {
    this.#shop = shop;
    this.#bundles = bundles;
  }

  /** As many FIFOs as they wait at. */
  static get fifos(): number {
    return STANDBYS;
  }

  /** From here on some stand by. Once runtimes were seen to wait at FIFOs. */
  open(): void {
    this.#filling ??= this.#fill();
  }

  /** See `Engine.standbyId`. */
  give(): string | undefined {
    const standby = [...this.#all.values()].find(({ owner }) => owner === undefined);
    if (standby === undefined) return undefined;
    standby.owner = "us";
    this.given(standby.id);
    return standby.id;
  }

  /** See `StandbyOffers`. */
  given(id: string): void {
    const standby = this.#all.get(id);
    if (standby !== undefined) void this.#expect(standby);
  }

  /** See `StandbyOffers`. */
  offer(listener: (id: string) => void): Disposable {
    const owner: Owner = { listener };
    this.#owners.add(owner);
    this.#tell();
    return {
      [Symbol.dispose]: () => {
        this.#owners.delete(owner);
        for (const standby of this.#all.values()) if (standby.owner === owner) this.#end(standby);
        this.#tell();
      },
    };
  }

  /** Something starts now. */
  busy(): void {
    this.#starts++;
    this.#restMs = Math.max(this.#restMs, REFILL_AFTER_MS);
  }

  /** What stands by under the dyno's id, which is the dyno's from now on. undefined: nothing, or it is of another kind. */
  take({ id, isolation, terminal, stdin, io }: DynoSpec): Waiting | undefined {
    const standby = this.#all.get(id);
    if (standby === undefined || isolation !== "container" || terminal !== null || stdin || io) return undefined;
    this.#all.delete(id);
    this.busy();
    this.#bell.ring();
    return standby;
  }

  /** The same; where it is of another kind it is ended, so that nothing is under the id. */
  async claim(spec: DynoSpec): Promise<Waiting | undefined> {
    const standby = this.take(spec);
    if (standby === undefined) await this.discard(spec.id);
    return standby;
  }

  /** Nothing stands by under the id any more. Never rejects. */
  async discard(id: string): Promise<void> {
    const standby = this.#all.get(id);
    if (standby !== undefined) this.#end(standby);
    await this.#ending.get(id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    await this.#filling;
    await this.#discardAll();
    await Promise.all(this.#ending.values());
  }

  async #fill(): Promise<void> {
    const { clock, fifos } = this.#shop;
    const { signal } = this.#closed;
    while (!signal.aborted) {
      if (fifos.isClosed) return this.#discardAll();
      if (this.#all.size >= STANDBYS) await this.#bell.wait(LOOK_MS, signal, clock);
      else if (this.#restMs > 0) await this.#rest();
      else this.#tryMake();
    }
  }

  async #discardAll(): Promise<void> {
    await Promise.all([...this.#all.keys()].map((id) => this.discard(id)));
  }

  /** Until nothing has started for as long. */
  async #rest(): Promise<void> {
    const starts = this.#starts;
    await this.#shop.clock.sleep(this.#restMs, this.#closed.signal).catch(() => {}); // closed
    this.#restMs = starts === this.#starts ? 0 : REFILL_AFTER_MS;
  }

  #tryMake(): void {
    const id = randomUUID();
    const folder = new DynoFolder(this.#bundles, id);
    try {
      this.#make(id, folder);
    } catch (error) {
      const { logger, logs } = this.#shop;
      logger.warn("engine.no_standby", { error });
      this.#restMs = RETRY_MS;
      void Promise.all([folder.remove(), logs.remove(id)]).catch((second: unknown) => {
        logger.warn("engine.standby_not_removed", { dynoId: id, error: second }); // the next host process does it
      });
    }
  }

  #make(id: string, folder: DynoFolder): void {
    const { logs, logger } = this.#shop;
    mkdirSync(folder.path, { mode: 0o700 });
    logs.create(id);
    const begin = { id, bundle: folder.path, log: logs.pathOf(id), terminal: false, stdin: false };
    const waiting = beginWaiting(this.#shop, begin);
    if (waiting === undefined) throw new Error("no FIFO is free");
    const standby: Standby = { ...waiting, id, folder, owner: undefined };
    this.#all.set(id, standby);
    waiting.begun.made.catch((error: unknown) => {
      if (this.#all.get(id) !== standby) return; // it was used, or is being ended
      logger.warn("engine.standby_lost", { dynoId: id, error });
      this.#restMs = RETRY_MS;
      this.#end(standby);
    });
    this.#tell();
  }

  #tell(): void {
    const owner = [...this.#owners].at(-1);
    if (owner === undefined) return;
    for (const standby of this.#all.values()) {
      if (standby.owner !== undefined) continue;
      standby.owner = owner;
      owner.listener(standby.id);
    }
  }

  async #expect(standby: Standby): Promise<void> {
    await this.#shop.clock.sleep(USED_MS, this.#closed.signal).catch(() => {}); // all are ended
    if (this.#all.get(standby.id) === standby) this.#end(standby);
  }

  #end(standby: Standby): void {
    const { id } = standby;
    this.#all.delete(id);
    const ended = this.#undo(standby)
      .catch((error: unknown) => this.#shop.logger.error("engine.standby_not_ended", { dynoId: id, error }))
      .finally(() => this.#ending.delete(id));
    this.#ending.set(id, ended);
    this.#bell.ring();
  }

  async #undo({ id, folder, config, begun }: Standby): Promise<void> {
    try {
      await config.end();
      const gone = new AbortController();
      const over = () => gone.abort();
      begun.made.then(over, over);
      await this.#shop.clock.sleep(ENDED_MS, gone.signal).catch(() => {}); // it has ended
    } finally {
      begun.kill();
      await this.#shop.logs.remove(id);
      await folder.remove();
    }
  }
}
