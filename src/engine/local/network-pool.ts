import { rmSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, systemClock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/logger.ts";
import { Nudge } from "../../lib/nudge.ts";
import type { NetworkRates } from "../../model/size.ts";
import { EngineError } from "../engine.ts";
import { isBuildIndex, nextIndex } from "./address.ts";
import {
  indexOfName,
  type Layout,
  nameOf,
  netnsOf,
  renderInner,
  renderLinkRemoval,
  renderNetnsRemoval,
  renderOuter,
} from "./network-batch.ts";
import { ipBatch, nftFileInside } from "./network-commands.ts";
import type { Shaper } from "./network-shaper.ts";

export const NETNS_FOLDER = "/run/netns";
export const INTERFACES_FOLDER = "/sys/class/net";

export interface NamespaceOptions {
  readonly layout: Layout;
  /** Kept ready for dynos; one more is kept for build dynos. */
  readonly poolSize: number;
  /** On tmpfs: one file for each namespace that is ready and was never given away. */
  readonly folder: string;
  /** Loaded inside each namespace; undefined: none needed. */
  readonly innerRules: string | undefined;
  /** Called with each new interface before it is given away. */
  readonly prepare: (device: string) => Promise<void>;
  /** Holds each to the rates of its purpose, from when both its halves are made. */
  readonly shaper: Pick<Shaper, "apply" | "know" | "forget">;
  /** Asked at each making, since the operator may change them. */
  readonly rates: (purpose: Purpose) => NetworkRates;
  readonly logger: Logger;
  readonly clock: Clock;
}

export type Purpose = "dyno" | "build";
const PURPOSES: readonly Purpose[] = ["dyno", "build"];
const BATCH_MAX = 8;
/** Nothing was taken or given back for so long: making more slows down nothing. */
const REFILL_AFTER_MS = 2000;
/** What the kernel may take to free empty namespaces, before those left are seen as held. */
const FREED_MS = 1000;

interface Waiter {
  readonly resolve: (index: number) => void;
  readonly reject: (error: unknown) => void;
}

/** Namespaces ready to be given away, each once; made in the background, destroyed in batches. */
export class NamespacePool implements AsyncDisposable {
  readonly #options: NamespaceOptions;
  /** Every index that something on the host has, or will have in a moment. */
  readonly #inUse = new Set<number>();
  /** There when we came, neither adopted nor looked at yet. */
  readonly #found = new Set<number>();
  readonly #ready: Record<Purpose, number[]> = { dyno: [], build: [] };
  readonly #waiters: Record<Purpose, Waiter[]> = { dyno: [], build: [] };
  readonly #last: Record<Purpose, number> = { dyno: 0, build: 0 };
  readonly #bell = new Nudge();
  readonly #stop = new AbortController();
  readonly #doomed = new Set<number>();
  /** Resolves once all that live are adopted: the rest of what was found may be looked at. */
  readonly #adopted = Promise.withResolvers<void>();
  #busyAt = 0;
  /** Gives those that could not be removed. */
  #removal: Promise<ReadonlySet<number>> | undefined;
  #settled: Promise<void> | undefined;
  readonly #filling: Promise<void>;

  static async open(options: NamespaceOptions): Promise<NamespacePool> {
    await mkdir(options.folder, { recursive: true, mode: 0o700 });
    if (options.innerRules !== undefined) await writeFile(innerFile(options), options.innerRules, { mode: 0o600 });
    return new NamespacePool(options, await existing(options.layout));
  }

  private constructor(options: NamespaceOptions, found: ReadonlySet<number>) {
    this.#options = options;
    for (const index of found) {
      this.#inUse.add(index);
      this.#found.add(index);
    }
    for (const index of found) this.#last[purposeOf(index)] = Math.max(this.#last[purposeOf(index)], index);
    this.#filling = this.#fill().catch((error: unknown) => options.logger.error("network.pool_failed", { error }));
  }

  /** Every index in use, for what has to be done to all. */
  get indexes(): readonly number[] {
    return [...this.#inUse];
  }

  async take(purpose: Purpose): Promise<number> {
    this.#busyAt = this.#options.clock.now();
    this.adopted();
    this.#bell.ring();
    await this.#settle();
    const index = this.#ready[purpose].shift() ?? (await this.#wait(purpose));
    rmSync(this.#marker(index), { force: true }); // on tmpfs, so at once
    this.#bell.ring();
    return index;
  }

  /** False: it is not there any more. */
  adopt(index: number): boolean {
    return this.#found.delete(index);
  }

  /** What was found and not adopted by now is nobody's. */
  adopted(): void {
    this.#adopted.resolve();
  }

  async release(index: number): Promise<void> {
    this.#options.shaper.forget(index);
    if (!this.#inUse.has(index)) return;
    this.#busyAt = this.#options.clock.now();
    await rm(this.#marker(index), { force: true });
    this.#doomed.add(index);
    while (this.#doomed.has(index)) {
      this.#removal ??= this.#remove([...this.#doomed]).finally(() => {
        this.#removal = undefined;
      });
      const stuck = await this.#removal;
      if (stuck.has(index)) throw new EngineError("failed", `The network ${index} could not be removed.`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.adopted(); // nobody will say it any more
    await this.#filling;
    await this.#removal?.catch(() => {}); // told to whoever released
    for (const purpose of PURPOSES)
      this.#reject(purpose, new EngineError("unavailable", "The network is shutting down."));
  }

  /** Once: what was found and not adopted is reused if it was never given away. Never rejects. */
  #settle(): Promise<void> {
    this.#settled ??= (async () => {
      const found = [...this.#found];
      this.#found.clear();
      await Promise.all(found.map((index) => this.#reuseOrRelease(index)));
      this.#bell.ring();
    })();
    return this.#settled;
  }

  async #reuseOrRelease(index: number): Promise<void> {
    const { shaper, logger } = this.#options;
    const marker = await readFile(this.#marker(index), "utf8").catch(() => ""); // it was given away, or never whole
    const rates = ratesOf(marker, this.#options);
    if (rates === undefined)
      return this.release(index).catch((error: unknown) => {
        logger.error("network.sweep_failed", { index, error }); // it stays until the next start
      });
    if (rates !== null) shaper.know(index, rates);
    this.#ready[purposeOf(index)].push(index);
  }

  #wait(purpose: Purpose): Promise<number> {
    if (this.#stop.signal.aborted) throw new EngineError("unavailable", "The network is shutting down.");
    return new Promise((resolve, reject) => {
      this.#waiters[purpose].push({ resolve, reject });
      this.#bell.ring();
    });
  }

  async #fill(): Promise<void> {
    const { signal } = this.#stop;
    if (this.#found.size > 0) await this.#adopted.promise;
    if (signal.aborted) return; // the living may not be known yet
    await this.#settle();
    while (!signal.aborted) {
      const missing = PURPOSES.filter((purpose) => this.#missing(purpose) > 0);
      if (missing.length === 0) await this.#bell.wait(60_000, signal);
      const isAsked = PURPOSES.some((purpose) => this.#waiters[purpose].length > 0);
      if (!isAsked && this.#options.clock.now() - this.#busyAt < REFILL_AFTER_MS) {
        await this.#bell.wait(REFILL_AFTER_MS, signal);
        continue;
      }
      for (const purpose of missing) await this.#make(purpose, Math.min(this.#missing(purpose), BATCH_MAX));
    }
  }

  #missing(purpose: Purpose): number {
    const wanted = purpose === "dyno" ? this.#options.poolSize : Math.min(1, this.#options.poolSize);
    return Math.max(0, this.#waiters[purpose].length + wanted - this.#ready[purpose].length);
  }

  async #make(purpose: Purpose, count: number): Promise<void> {
    const unfinished = new Set(this.#allocate(purpose, count));
    try {
      if (unfinished.size === 0) throw new EngineError("no_capacity", `Every address for ${purpose}s is in use.`);
      await ipBatch([...unfinished].map((index) => renderOuter(this.#options.layout, index)).join(""));
      for (const index of unfinished) {
        await this.#finish(index);
        unfinished.delete(index);
        this.#give(purpose, index);
      }
    } catch (error) {
      this.#options.logger.error("network.pool_failed", { purpose, count, error });
      const failure = new EngineError("unavailable", "No network could be made for the dyno.", error);
      this.#reject(purpose, error instanceof EngineError ? error : failure);
      await Promise.allSettled([...unfinished].map((index) => this.release(index)));
      await this.#options.clock.sleep(1000, this.#stop.signal).catch(() => {}); // aborted: the loop sees it
    }
  }

  #allocate(purpose: Purpose, count: number): readonly number[] {
    const indexes: number[] = [];
    for (let at = 0; at < count; at++) {
      const index = nextIndex(this.#last[purpose], purpose === "build", this.#inUse);
      if (index === undefined) break;
      this.#inUse.add(index);
      this.#last[purpose] = index;
      indexes.push(index);
    }
    return indexes;
  }

  /** The half inside the namespace, then the mark that it is whole. */
  async #finish(index: number): Promise<void> {
    const { layout, innerRules, prepare, shaper, rates } = this.#options;
    await prepare(nameOf(layout, index));
    await ipBatch(renderInner(layout, index), { netns: netnsOf(layout, index) });
    const usual = rates(purposeOf(index));
    const isHeld = await shaper.apply(index, usual);
    if (innerRules !== undefined)
      await nftFileInside(join(NETNS_FOLDER, netnsOf(layout, index)), innerFile(this.#options));
    await writeFile(this.#marker(index), markerOf(this.#options, isHeld ? usual : null));
  }

  #give(purpose: Purpose, index: number): void {
    const waiter = this.#waiters[purpose].shift();
    if (waiter) waiter.resolve(index);
    else this.#ready[purpose].push(index);
  }

  #reject(purpose: Purpose, error: unknown): void {
    for (const waiter of this.#waiters[purpose].splice(0)) waiter.reject(error);
  }

  async #remove(indexes: readonly number[]): Promise<ReadonlySet<number>> {
    const { layout, logger } = this.#options;
    await destroy(layout, indexes);
    const left = await existing(layout);
    const stuck = indexes.filter((index) => left.has(index));
    for (const index of indexes) this.#doomed.delete(index);
    for (const index of indexes) if (!left.has(index)) this.#inUse.delete(index);
    if (stuck.length > 0) logger.error("network.release_failed", { indexes: stuck });
    return new Set(stuck);
  }

  #marker(index: number): string {
    return join(this.#options.folder, String(index));
  }
}

/**
 * Removes namespaces and interfaces, those that are there, and returns when the kernel is done. Deleting the name frees an
 * empty namespace with its interfaces in the background, hundreds at once; deleting an interface by itself costs 15 ms of
 * waiting each, so that is left for those whose namespace is held by a process that still lives.
 */
export async function destroy(
  layout: Pick<Layout, "netnsPrefix" | "interfacePrefix">,
  indexes: readonly number[],
): Promise<void> {
  if (indexes.length === 0) return;
  // Both fail for what is missing already; what matters is what is left, and the caller looks.
  await ipBatch(renderNetnsRemoval(layout, indexes), { force: true }).catch(() => {});
  const deadline = systemClock.now() + FREED_MS + indexes.length;
  const left = async () => {
    const there = new Set(await readdir(INTERFACES_FOLDER));
    return indexes.filter((index) => there.has(nameOf(layout, index)));
  };
  while ((await left()).length > 0 && systemClock.now() < deadline) await systemClock.sleep(10, never);
  const stuck = await left();
  if (stuck.length > 0) await ipBatch(renderLinkRemoval(layout, stuck), { force: true }).catch(() => {});
}

const never = new AbortController().signal;

/** Indexes that have a namespace or an interface on this host. */
export async function existing(layout: Pick<Layout, "netnsPrefix" | "interfacePrefix">): Promise<ReadonlySet<number>> {
  const [namespaces, interfaces] = await Promise.all([
    readdir(NETNS_FOLDER).catch(() => []),
    readdir(INTERFACES_FOLDER),
  ]);
  return new Set(
    [
      ...namespaces.map((name) => indexOfName(layout.netnsPrefix, name)),
      ...interfaces.map((name) => indexOfName(layout.interfacePrefix, name)),
    ].filter((index) => index !== undefined),
  );
}

type Settings = Pick<NamespaceOptions, "layout" | "innerRules">;

/** What is written of a whole namespace: how it was made, and what it is held to; null: to nothing. */
export const markerOf = ({ layout, innerRules }: Settings, heldTo: NetworkRates | null): string =>
  JSON.stringify({ layout, innerRules, heldTo });

/** What it is held to; undefined: it is not whole, or was made with other settings, and is not reused. */
export function ratesOf(marker: string, settings: Settings): NetworkRates | null | undefined {
  try {
    const { heldTo } = JSON.parse(marker) as { readonly heldTo: NetworkRates | null }; // ours
    return markerOf(settings, heldTo) === marker ? heldTo : undefined;
  } catch {
    return undefined; // not there, or cut off
  }
}

const innerFile = ({ folder }: NamespaceOptions): string => join(folder, "inner.nft");
const purposeOf = (index: number): Purpose => (isBuildIndex(index) ? "build" : "dyno");
