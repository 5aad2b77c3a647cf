import { type FSWatcher, statSync, watch } from "node:fs";
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Engine } from "../engine/engine.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { Nudge } from "../lib/nudge.ts";
import { AppLog } from "./app-log.ts";
import type { DynoLogs } from "./dyno-logs.ts";
import type { LogFilter, StoredLine } from "./filter.ts";
import { Follower } from "./follower.ts";
import type { LogLine, LogSink } from "./line.ts";
import { rawOutput } from "./raw-output.ts";
import { Turns } from "./turns.ts";

export interface LogHubOptions {
  /** Where apps' logs are kept: `data/logs`. */
  readonly folder: string;
  /** Where dynos' raw logs appear: `paths.logs`. */
  readonly rawFolder: string;
  readonly engine: Pick<Engine, "trimLog">;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The ids of the apps that there are: logs of others are deleted at the start. */
  readonly appIds?: () => Promise<readonly string[]>;
}

export interface LogHub extends LogSink, DynoLogs, AsyncDisposable {
  /** The newest lines that match, oldest first: at most 1,500, at most a week old (spec 8.3). */
  history(
    appId: string,
    query: { readonly lines: number; readonly filter?: LogFilter },
  ): Promise<readonly StoredLine[]>;
  /**
   * Lines as they come, until `signal` or the app's end; with `afterId` first those after it that are still kept. To a
   * reader that is too slow an L11 line is given in place of what was dropped (spec 6.3).
   */
  subscribe(
    appId: string,
    filter: LogFilter,
    afterId: number | undefined,
    signal: AbortSignal,
  ): AsyncIterable<StoredLine>;
  /** Deletes the app's log; lines that still come for it are thrown away. */
  removeApp(appId: string): Promise<void>;
}

/** Opens the logs: finds what is there, and begins to watch for what dynos write. */
export async function openLogs(options: LogHubOptions): Promise<LogHub> {
  await mkdir(options.folder, { recursive: true, mode: 0o700 });
  const hub = new Hub(options);
  await hub.start();
  return hub;
}

/** Who reads at the same time; a flood gets a buffer's worth, then the next in line. */
const READ_BYTES = 128 * 1024;
const READERS = 2;
const SWEEP_MS = 3600 * 1000;
/** So often it is looked whether a raw log has grown of which no event told. */
const LOOK_MS = 15_000;
const LOOKS_AT_ONCE = 64;

interface Followed {
  readonly appId: string;
  readonly follower: Follower;
  /** Which file its raw log was at the last look, and how long. */
  seen: string | undefined;
}

class Hub implements LogHub {
  readonly #options: LogHubOptions;
  readonly #apps = new Map<string, AppLog>();
  readonly #removed = new Set<string>();
  readonly #followers = new Map<string, Followed>();
  /** Dynos that ended without being followed, and who reads their output. */
  readonly #ended = new Set<string>();
  readonly #outputs = new Map<string, Set<Nudge>>();
  readonly #turns = new Turns<Buffer>(Array.from({ length: READERS }, () => Buffer.alloc(READ_BYTES)));
  readonly #stop = new AbortController();
  #watcher: FSWatcher | undefined;
  #sweeping: Promise<void> | undefined;
  #looking: Promise<void> | undefined;

  constructor(options: LogHubOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    this.#watch();
    await this.#deleteOrphans();
    this.#sweeping = this.#every(SWEEP_MS, "logs.sweep_failed", () => this.#sweep());
    this.#looking = this.#every(LOOK_MS, "logs.look_failed", () => this.#look());
  }

  append(appId: string, line: LogLine): void {
    this.#app(appId)?.append(line);
  }

  follow({ id, appId, name }: { readonly id: string; readonly appId: string; readonly name: string }): void {
    const log = this.#app(appId);
    if (!log || this.#followers.has(id) || this.#stop.signal.aborted) return;
    const { rawFolder, engine, clock, logger } = this.#options;
    const parts = { dynoId: safeId(id), name, log, rawFolder, engine, clock, logger, turns: this.#turns };
    this.#followers.set(id, { appId, follower: new Follower(parts), seen: undefined });
  }

  async ended(dynoId: string, signal: AbortSignal): Promise<void> {
    const follower = this.#followers.get(dynoId)?.follower;
    this.#ended.add(dynoId);
    this.#ring(dynoId);
    if (follower) await orAborted(follower.ended(), signal);
  }

  forget(dynoId: string): void {
    this.#ended.delete(dynoId);
    const entry = this.#followers.get(dynoId);
    if (!entry) return;
    this.#followers.delete(dynoId);
    const log = this.#apps.get(entry.appId);
    void entry.follower[Symbol.asyncDispose]().then(() => log?.forget(dynoId)); // a follower never rejects
  }

  async *output(dynoId: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { rawFolder, engine, logger } = this.#options;
    const nudge = new Nudge();
    const nudges = this.#outputs.get(dynoId) ?? new Set();
    this.#outputs.set(dynoId, nudges.add(nudge));
    try {
      const isEnded = () => this.#ended.has(dynoId);
      const both = AbortSignal.any([signal, this.#stop.signal]);
      yield* rawOutput({ dynoId: safeId(dynoId), rawFolder, engine, logger, nudge, isEnded }, both);
    } finally {
      nudges.delete(nudge);
      if (nudges.size === 0) this.#outputs.delete(dynoId);
    }
  }

  async history(appId: string, { lines, filter = {} }: { readonly lines: number; readonly filter?: LogFilter }) {
    return (await this.#app(appId)?.history(lines, filter)) ?? [];
  }

  async *subscribe(appId: string, filter: LogFilter, afterId: number | undefined, signal: AbortSignal) {
    const log = this.#app(appId);
    if (log) yield* log.tail(filter, afterId, AbortSignal.any([signal, this.#stop.signal]));
  }

  async removeApp(appId: string): Promise<void> {
    this.#removed.add(appId);
    const own = [...this.#followers].filter(([, entry]) => entry.appId === appId);
    for (const [dynoId] of own) this.#followers.delete(dynoId);
    const log = this.#apps.get(appId) ?? this.#newApp(appId);
    this.#apps.delete(appId);
    const closed = own.map(([, { follower }]) => follower[Symbol.asyncDispose]());
    await log.remove(); // followers may be waiting for it, and what they still bring is thrown away
    await Promise.all(closed);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#watcher?.close();
    await Promise.all([this.#sweeping, this.#looking]);
    const closed = [...this.#followers.values()].map(({ follower }) => follower[Symbol.asyncDispose]());
    await Promise.all([...this.#apps.values()].map((log) => log[Symbol.asyncDispose]())); // followers may wait for them
    await Promise.all(closed);
  }

  #app(appId: string): AppLog | undefined {
    const known = this.#apps.get(appId);
    if (known) return known;
    if (this.#removed.has(appId) || this.#stop.signal.aborted || !isSafeId(appId)) return undefined;
    const log = this.#newApp(appId);
    this.#apps.set(appId, log);
    return log;
  }

  #newApp(appId: string): AppLog {
    const { folder, clock, logger } = this.#options;
    return new AppLog({ folder: join(folder, safeId(appId)), clock, logger });
  }

  /** Events tell followers when to look; of what no event told, `#look` does. */
  #watch(): void {
    const { rawFolder, logger } = this.#options;
    const fail = (error: unknown) => logger.warn("logs.watch_failed", { folder: rawFolder, error });
    try {
      this.#watcher = watch(rawFolder, (_event, name) => name !== null && this.#ring(name.slice(0, name.indexOf("."))));
      this.#watcher.on("error", fail);
    } catch (error) {
      fail(error);
    }
  }

  #ring(dynoId: string): void {
    this.#followers.get(dynoId)?.follower.nudge();
    for (const nudge of this.#outputs.get(dynoId) ?? []) nudge.ring();
  }

  async #deleteOrphans(): Promise<void> {
    const { folder, appIds, logger } = this.#options;
    if (!appIds) return;
    const there = await readdir(folder);
    const wanted = new Set(await appIds());
    for (const name of there.filter((each) => !wanted.has(each) && isSafeId(each))) {
      logger.info("logs.orphan_removed", { appId: name });
      await rm(join(folder, name), { recursive: true });
    }
  }

  async #every(ms: number, failure: string, body: () => Promise<void>): Promise<void> {
    const { clock, logger } = this.#options;
    const next = () =>
      clock.sleep(ms, this.#stop.signal).then(
        () => true,
        () => false, // closing
      );
    while (await next()) {
      try {
        await body();
      } catch (error) {
        logger.error(failure, { error });
      }
    }
  }

  /** An event may be lost: followers of logs that are not as they were are told. One call each, far cheaper than a look of theirs. */
  async #look(): Promise<void> {
    for (const [at, [dynoId, entry]] of [...this.#followers].entries()) {
      if (at % LOOKS_AT_ONCE === LOOKS_AT_ONCE - 1) await new Promise(setImmediate);
      const facts = statSync(join(this.#options.rawFolder, `${dynoId}.log`), { throwIfNoEntry: false });
      const seen = facts && `${facts.ino} ${facts.size}`;
      if (seen !== entry.seen) entry.follower.nudge();
      entry.seen = seen;
    }
  }

  /** Deletes what is too old, and the places of dynos whose raw logs are gone. */
  async #sweep(): Promise<void> {
    for (const appId of (await readdir(this.#options.folder)).filter(isSafeId)) {
      const log = this.#app(appId);
      if (!log || this.#stop.signal.aborted) continue;
      await log.expire();
      for (const dynoId of log.dynos()) {
        const hasRaw = await stat(join(this.#options.rawFolder, `${dynoId}.log`)).catch(() => undefined); // gone, most likely
        if (!hasRaw && !this.#followers.has(dynoId)) log.forget(dynoId);
      }
    }
  }
}

/** Ids name files here: nothing else may. */
function isSafeId(id: string): boolean {
  return /^[\w-]{1,64}$/.test(id);
}

function safeId(id: string): string {
  if (!isSafeId(id)) throw new Error(`not an id: ${JSON.stringify(id)}`);
  return id;
}

async function orAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason as Error);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  try {
    await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
