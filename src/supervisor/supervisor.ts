import type { ObservedDyno } from "../engine/engine.ts";
import { addAbortListener } from "../lib/abort.ts";
import { constantId } from "../lib/constant-id.ts";
import { Limit } from "../lib/limit.ts";
import { Nudge } from "../lib/nudge.ts";
import { type DynoRecord, type IdleDyno, isLive } from "../model/dyno.ts";
import { PlatformError } from "../model/errors.ts";
import type { Health } from "../model/health.ts";
import type { ReleaseStatus } from "../model/release.ts";
import { AppLoop, readDesired } from "./app-loop.ts";
import { Observer } from "./observer.ts";
import { type Parts, type SupervisorOptions, type SupervisorStore, say } from "./parts.ts";
import { plan, startAgainAt } from "./plan.ts";
import type { Line } from "./situation.ts";
import type { HeadStart, Supervision, Which } from "./supervision.ts";
import { losesClient, stop } from "./transitions.ts";

/** Starts at once, of all apps together: more gains nothing (facts, 1). */
const STARTS_AT_ONCE = 4;
/** Looks at once, of all apps together, after a restart of the daemon above all. */
const LOOKS_AT_ONCE = 16;
const RESYNC_MS = 30_000;
/** All apps are read from the store at every so many passes. */
const APPS_EVERY = 20;
const NONE: readonly ObservedDyno[] = [];
const WAIT_MS = 2_000;

/** Keeps what runs equal to what should run, until disposed of. Dynos live on without it. */
export async function startSupervisor(options: SupervisorOptions): Promise<Supervision & AsyncDisposable> {
  return new Supervisor({
    plan,
    ...options,
    observer: new Observer(options.engine),
    starts: new Limit(STARTS_AT_ONCE),
    looks: new Limit(LOOKS_AT_ONCE),
    images: new Set(),
  });
}

interface Settled {
  readonly status: ReleaseStatus;
  readonly failure: string | null;
}

class Supervisor implements Supervision, AsyncDisposable {
  readonly #parts: Parts;
  readonly #stop = new AbortController();
  readonly #loops = new Map<string, AppLoop>();
  readonly #running = new Set<Promise<void>>();
  readonly #nudge = new Nudge();
  /** Those who wait for something of an app to become true. */
  readonly #waiting = new Map<string, Set<Nudge>>();
  readonly #hints: readonly Disposable[];

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#hints = [
      parts.store.onChange((appId) => this.#changed(appId, "store")),
      parts.engine.watch((dynoId) => this.#seen(dynoId)),
    ];
    this.#background(this.#watchOver());
  }

  async prepare(appId: string, releaseId: string): Promise<HeadStart> {
    const { random } = this.#parts;
    const ahead = await this.#loops.get(appId)?.prepare(releaseId);
    return ahead ?? { newId: () => random.uuid(), begin: () => {} };
  }

  nudge(appId: string): void {
    this.#loopOf(appId).nudgeOfStore();
  }

  async restart(appId: string, which: Which): Promise<void> {
    await this.#end(appId, which, "restart");
  }

  async stop(appId: string, which: Which): Promise<void> {
    await this.#end(appId, which, "stop");
  }

  async disconnect(dynoId: string): Promise<void> {
    const { store, clock } = this.#parts;
    const appId = await store.transaction(async (store) => {
      const record = await store.dynos.byId(dynoId);
      if (record === undefined) return undefined;
      const change = losesClient(record, clock.now());
      if (change !== undefined) await store.dynos.update(dynoId, change);
      return record.appId;
    });
    if (appId !== undefined) this.nudge(appId);
  }

  async settled(releaseId: string, signal: AbortSignal, onNoRoom?: (name: string) => void): Promise<Settled> {
    const { store } = this.#parts;
    const release = await store.releases.byId(releaseId);
    if (release === undefined) throw new PlatformError("not_found", "No such release.", { resource: "release" });
    this.nudge(release.appId);
    const told = new Set<string>();
    return this.#once(release.appId, signal, async (): Promise<Settled | undefined> => {
      for (const { id, name, stopping } of onNoRoom === undefined ? [] : await store.dynos.list(release.appId)) {
        if (stopping?.reason !== "no-room" || told.has(id)) continue;
        told.add(id);
        onNoRoom?.(name);
      }
      const now = await store.releases.byId(releaseId);
      if (now === undefined) return { status: "expired", failure: null }; // with its app
      return now.status === "pending" ? undefined : { status: now.status, failure: now.failure };
    });
  }

  async commandEnded(releaseId: string, signal: AbortSignal): Promise<void> {
    const { store } = this.#parts;
    const release = await store.releases.byId(releaseId);
    if (release === undefined) return;
    this.nudge(release.appId);
    await this.#once(release.appId, signal, async () => {
      const now = await store.releases.byId(releaseId);
      const isToRun = now?.status === "pending" && (now.phase === "waiting" || now.phase === "running");
      return isToRun ? undefined : true;
    });
  }

  async exited(dynoId: string, signal: AbortSignal): Promise<number | null> {
    const { store } = this.#parts;
    const record = await store.dynos.byId(dynoId);
    if (record === undefined) throw new PlatformError("not_found", "No such dyno.", { resource: "dyno" });
    const end = await this.#once(record.appId, signal, async () => {
      const now = await store.dynos.byId(dynoId);
      return now === undefined ? { status: null } : (now.exit ?? undefined);
    });
    return end.status;
  }

  async vanished(appId: string, signal: AbortSignal): Promise<void> {
    this.nudge(appId);
    await this.#once(appId, signal, async () => {
      const dynos = await this.#parts.observer.freshOf(appId);
      return dynos.length === 0 ? true : undefined;
    });
  }

  async health(appId: string): Promise<Readonly<Record<string, Health>>> {
    const dynos = (await this.#parts.observer.fresh()).get(appId) ?? [];
    const known = dynos.flatMap(({ id, state }): readonly (readonly [string, Health])[] =>
      state.kind === "running" && state.health !== undefined ? [[id, state.health]] : [],
    );
    return Object.fromEntries(known);
  }

  async nextStarts(appId: string): Promise<Readonly<Record<string, number>>> {
    const { store, clock } = this.#parts;
    const now = clock.now();
    const app = await store.apps.byId(appId);
    if (app === undefined) return {};
    const desired = await readDesired(app, store, now);
    const records = await store.dynos.list(appId);
    const situation = { crashes: await store.dynos.crashes(appId), now };
    const crashed = records.filter(({ state, releaseId }) => state === "crashed" && releaseId === app.currentReleaseId);
    return Object.fromEntries(crashed.map(({ name }) => [name, startAgainAt(desired, name, situation)]));
  }

  async idleDynos(appId: string, store: SupervisorStore = this.#parts.store): Promise<readonly IdleDyno[]> {
    const app = await store.apps.byId(appId);
    const since = app?.asleepSince ?? null;
    if (app === undefined || since === null) return [];
    const { current } = await readDesired({ ...app, asleepSince: null }, store, this.#parts.clock.now());
    return (current?.dynos ?? []).map((dyno) => ({
      ...dyno,
      id: constantId("idle-dyno", `${appId}/${dyno.name}`),
      appId,
      kind: "formation",
      releaseId: current?.id ?? "",
      state: "idle",
      stateSince: since,
      createdAt: since,
      launchedAt: null,
      stopping: null,
      exit: null,
      oneOff: null,
      port: null,
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const hint of this.#hints) hint[Symbol.dispose]();
    this.#stop.abort();
    await Promise.all(this.#running);
  }

  /** Marks dynos as ending, for good: whatever dies now, the loop goes on from there. */
  async #end(appId: string, which: Which, reason: "restart" | "stop"): Promise<void> {
    const { store, clock } = this.#parts;
    const lines = await store.transaction(async (store): Promise<readonly Line[]> => {
      const chosen = (await store.dynos.list(appId)).filter((record) => isChosen(record, which, reason));
      const idle = (await this.idleDynos(appId, store)).filter((dyno) => isMeant(dyno, which));
      if (reason === "restart" && idle.length > 0) await store.apps.wake(appId);
      if (chosen.length === 0 && which.kind === "dyno" && idle.length === 0) {
        throw new PlatformError("not_found", `Couldn't find that dyno (${which.name}).`, { resource: "dyno" });
      }
      const lines: Line[] = [];
      for (const record of chosen) {
        if (record.kind === "formation") await store.dynos.clearCrashes(appId, record.name); // spec 3.4
        if (!isLive(record)) continue;
        const action = stop(record, reason, clock.now());
        await store.dynos.update(record.id, action.change);
        lines.push(...action.lines);
      }
      return lines;
    });
    say(this.#parts, appId, lines);
    this.nudge(appId);
  }

  /**
   * Looks over all apps. Every app gets its loop, so do apps that the store no longer knows but the engine does; and a loop is
   * rung where the engine shows something else than it last saw: lost hints are made good. Apps as they were cost nothing more.
   */
  async #watchOver(): Promise<void> {
    const { store, observer, logger, clock } = this.#parts;
    const { signal } = this.#stop;
    for (let passes = 0; !signal.aborted; ) {
      let pause = RESYNC_MS;
      try {
        const observed = await observer.fresh();
        // A new app's first change rings for it (`onChange`): reading them all again is for what nobody thought of.
        const apps = passes % APPS_EVERY === 0 ? await store.apps.list() : [];
        for (const appId of new Set([...apps.map(({ id }) => id), ...observed.keys()])) this.#loopOf(appId);
        for (const [appId, loop] of this.#loops) if (!loop.hasSeen(observed.get(appId) ?? NONE)) loop.nudge();
        passes++;
      } catch (error) {
        logger.warn("apps.look-failed", { error });
        pause = 1_000;
      }
      await this.#nudge.wait(pause, signal, clock);
    }
  }

  #loopOf(appId: string): AppLoop {
    const known = this.#loops.get(appId);
    if (known !== undefined) return known;
    const loop = new AppLoop(appId, this.#parts);
    this.#loops.set(appId, loop);
    const end = () => {
      this.#loops.delete(appId);
    };
    this.#background(loop.run(this.#stop.signal).finally(end));
    return loop;
  }

  #background(work: Promise<void>): void {
    const done = work
      .catch((error: unknown) => this.#parts.logger.error("supervisor.part-ended", { error }))
      .finally(() => this.#running.delete(done));
    this.#running.add(done);
  }

  #changed(appId: string, where: "store" | "engine"): void {
    const loop = this.#loopOf(appId);
    if (where === "store") loop.nudgeOfStore();
    else loop.nudge();
    for (const nudge of this.#waiting.get(appId) ?? []) nudge.ring();
  }

  #seen(dynoId: string | undefined): void {
    const appId = dynoId === undefined ? undefined : this.#parts.observer.appOf(dynoId);
    if (appId !== undefined) return this.#changed(appId, "engine");
    this.#nudge.ring();
    for (const waiting of this.#waiting.values()) for (const nudge of waiting) nudge.ring();
  }

  /** Waits until `look` finds something; looks again whenever something of the app may have changed. */
  async #once<T>(appId: string, signal: AbortSignal, look: () => Promise<T | undefined>): Promise<T> {
    const nudge = new Nudge();
    const waiting = this.#waiting.get(appId) ?? new Set();
    this.#waiting.set(appId, waiting.add(nudge));
    using _stopped = addAbortListener(this.#stop.signal, () => nudge.ring());
    try {
      for (;;) {
        signal.throwIfAborted();
        this.#stop.signal.throwIfAborted();
        const found = await look();
        if (found !== undefined) return found;
        await nudge.wait(WAIT_MS, signal, this.#parts.clock);
      }
    } finally {
      waiting.delete(nudge);
      if (waiting.size === 0) this.#waiting.delete(appId);
    }
  }
}

/** Restarting leaves one-off dynos alone (spec 3.9); stopping does not. */
function isChosen(record: DynoRecord, which: Which, reason: "restart" | "stop"): boolean {
  if (record.exit !== null && record.state !== "crashed") return false;
  if (record.kind !== "formation" && reason === "restart") return false;
  return isMeant(record, which);
}

function isMeant(dyno: { readonly name: string; readonly type: string }, which: Which): boolean {
  switch (which.kind) {
    case "all":
      return true;
    case "type":
      return dyno.type === which.type;
    case "dyno":
      return dyno.name === which.name;
    default:
      return which satisfies never;
  }
}
