import { isDeepStrictEqual } from "node:util";
import { type CallerMarks, type DynoSpec, EngineError, type ObservedDyno } from "../engine/engine.ts";
import { monotonicMs } from "../lib/monotonic.ts";
import { within } from "../lib/within.ts";
import { type DynoRecord, freeName, launchLine, unstarted } from "../model/dyno.ts";
import { portOf } from "../model/environment.ts";
import { RELEASE_TYPE } from "../model/release.ts";
import { AttemptBook } from "./attempts.ts";
import { Aheads, Launches, launch } from "./launch.ts";
import { type Parts, type SupervisorStore, say } from "./parts.ts";
import type { Action, Attempt, AttemptKind, Attempts } from "./situation.ts";
import type { HeadStart } from "./supervision.ts";
import { heroku } from "./transitions.ts";

type Of<K extends Action["kind"]> = Extract<Action, { readonly kind: K }>;
type StoreAction = Of<
  "change" | "create" | "drop" | "clear-crashes" | "expire" | "begin-command" | "end-command" | "fail" | "promote"
>;
type EngineAction = Of<"launch" | "signal" | "forget" | "say">;

const CALL_MS = 60_000;
const LOGS_MS = 5_000;
/** How long an ended dyno's log may take to be carried over before it is freed. */
const CARRY_MS = 60_000;
/** Of more at a time the engine begins none before it is asked to. */
const PREPARED_MAX = 4;
const SETTLE_MS = 12_000; // the router ends it sooner

/** Does what plans of one app ask for. */
export class Actor {
  readonly #appId: string;
  readonly #parts: Parts;
  readonly #attempts: AttemptBook;
  readonly #followed = new Set<string>();
  /** What the engine was told of dynos that it will be asked for. */
  readonly #ahead = new Map<string, DynoSpec>();
  /** Of these, whose log knows that no more is to come. */
  readonly #ended = new Set<string>();

  constructor(appId: string, parts: Parts) {
    this.#appId = appId;
    this.#parts = parts;
    this.#attempts = new AttemptBook(parts.clock);
  }

  get attempts(): Attempts {
    return this.#attempts.all;
  }

  /** First the store's, in one transaction, then the engine's side by side. Throws when the store fails. */
  async act(actions: readonly Action[], signal: AbortSignal): Promise<void> {
    const planned = monotonicMs();
    const forStore = actions.filter(isStoreAction);
    await Promise.all(forStore.filter(endsDyno).map(({ record }) => this.#carryLog(record, LOGS_MS, signal)));
    const aheads = await this.#aheadsOf(forStore);
    const written =
      forStore.length === 0 ? [] : await this.#parts.store.transaction((store) => this.#write(forStore, store, aheads));
    const begun = written.flatMap((action) =>
      action.kind === "create" ? [heroku(action.dyno.name, launchLine(action.dyno))] : [],
    );
    const lines = written.flatMap((action) => ("lines" in action ? action.lines : []));
    say(this.#parts, this.#appId, [...lines, ...begun]); // that something ends is told before what takes its place starts
    const forEngine = actions.filter(isEngineAction).filter((action) => isNoted(action, written));
    const settled = forEngine.some((each) => each.kind === "signal" && each.settle) ? this.#settle() : undefined;
    const launches = new Launches(this.#appId, this.#parts);
    const marks = { planned, written: monotonicMs() };
    await Promise.all(forEngine.map((action) => this.#do(action, { settled, launches, signal, marks })));
  }

  /** Carries on with the log of every dyno that the engine has, after a restart of the daemon too. */
  follow(records: readonly DynoRecord[], observed: readonly ObservedDyno[]): void {
    const there = new Set(observed.map(({ id }) => id));
    for (const record of records) {
      if (record.launchedAt === null) continue;
      if (record.exit === null && there.has(record.id)) this.#follow(record);
      if (record.kind === "release") this.#parts.commands.follow(record);
    }
  }

  /** The last lines of those that have ended are on their way into the log while it is still planned what their end means. */
  carryLogsOf(observed: readonly ObservedDyno[], signal: AbortSignal): void {
    for (const { id, state } of observed) {
      if (state.kind !== "ended" || !this.#followed.has(id) || this.#ended.has(id)) continue;
      this.#ended.add(id);
      void this.#isCarried(id, LOGS_MS, signal);
    }
  }

  /** Forgets attempts on dynos that are no more. */
  tidy(dynoIds: ReadonlySet<string>): void {
    this.#attempts.keep(dynoIds);
    for (const id of this.#ahead.keys()) if (!dynoIds.has(id)) this.#ahead.delete(id);
    for (const id of this.#ended) if (!dynoIds.has(id)) this.#ended.delete(id);
    for (const id of this.#followed) {
      if (!dynoIds.has(id)) this.#followed.delete(id);
    }
  }

  /** Those that were written. */
  async #write(
    actions: readonly StoreAction[],
    store: SupervisorStore,
    aheads: Aheads,
  ): Promise<readonly StoreAction[]> {
    const written: StoreAction[] = [];
    for (const action of actions) {
      if (await this.#writeOne(action, store, aheads)) written.push(action);
    }
    return written;
  }

  /** False if what the action was planned on has changed: the next look plans anew. */
  async #writeOne(action: StoreAction, store: SupervisorStore, aheads: Aheads): Promise<boolean> {
    switch (action.kind) {
      case "change":
        if (!(await isUnchanged(action.record, store))) return false;
        if (isPutToSleep(action) && !(await this.#isAsleep(store))) return false;
        await store.dynos.update(action.record.id, action.change);
        if (action.crash !== null) await store.dynos.setCrashes(this.#appId, action.crash);
        return true;
      case "create":
        return this.#create(action, store, aheads);
      case "drop":
        if (!(await isUnchanged(action.record, store))) return false;
        await store.dynos.remove(action.record.id);
        return true;
      case "clear-crashes":
        await store.dynos.clearCrashes(this.#appId, action.name);
        return true;
      case "begin-command":
        return this.#beginCommand(action, store, aheads);
      case "end-command": {
        const release = await store.releases.byId(action.releaseId);
        if (release?.status !== "pending" || release.phase !== "running") return false;
        await store.releases.setPhase(release.id, "done");
        return true;
      }
      case "expire":
      case "fail": {
        const release = await store.releases.byId(action.releaseId);
        if (release?.status !== "pending") return false;
        if (action.kind === "expire") await store.releases.setStatus(release.id, "expired");
        else await store.releases.setStatus(release.id, "failed", action.failure);
        return true;
      }
      case "promote":
        return this.#promote(action, store);
      default:
        return action satisfies never;
    }
  }

  /** Still: it may have been woken since it was looked at. */
  async #isAsleep(store: SupervisorStore): Promise<boolean> {
    return ((await store.apps.byId(this.#appId))?.asleepSince ?? null) !== null;
  }

  async #create(
    { dyno, releaseId, inPlaceOf }: Of<"create">,
    store: SupervisorStore,
    aheads: Aheads,
  ): Promise<boolean> {
    if (inPlaceOf !== null) {
      if (!(await isUnchanged(inPlaceOf, store))) return false;
      await store.dynos.remove(inPlaceOf.id);
    }
    const id = this.#newId(releaseId, aheads);
    const now = this.#parts.clock.now();
    const record: DynoRecord = {
      id,
      appId: this.#appId,
      kind: "formation",
      ...dyno,
      releaseId,
      ...unstarted(now),
      launchedAt: now, // by the next look: it need not be written a second time for that
      oneOff: null,
      port: dyno.type === "web" ? portOf(id, this.#parts.routerPorts) : null,
    };
    this.#prepare(record, aheads);
    await store.dynos.create(record);
    return true;
  }

  /** One transaction with the rest: the release never has a second one. */
  async #beginCommand(
    { releaseId, command: of }: Of<"begin-command">,
    store: SupervisorStore,
    aheads: Aheads,
  ): Promise<boolean> {
    const release = await store.releases.byId(releaseId);
    const app = await store.apps.byId(this.#appId);
    if (app === undefined || release?.status !== "pending" || release.phase !== "waiting") return false;
    const name = freeName(RELEASE_TYPE, await store.dynos.list(this.#appId), this.#parts.random);
    if (name === undefined) throw new Error(`no free name for the command of release ${releaseId}`);
    const { command, size, userEmail } = of;
    await store.releases.setPhase(releaseId, "running");
    await store.formation.ensure(this.#appId, RELEASE_TYPE); // its size can be set now (spec 5.3)
    const record: DynoRecord = {
      id: this.#newId(releaseId, aheads),
      appId: this.#appId,
      kind: "release",
      name,
      type: RELEASE_TYPE,
      releaseId,
      size,
      command,
      ...unstarted(this.#parts.clock.now()),
      oneOff: {
        attach: false,
        awaiting: false,
        terminal: null,
        env: {},
        timeToLive: app.releaseTimeoutSeconds,
        userEmail,
      },
      port: null,
    };
    this.#prepare(record, aheads);
    await store.dynos.create(record);
    return true;
  }

  /** See `Supervision.prepare`. */
  async prepare(releaseId: string): Promise<HeadStart> {
    const aheads = new Aheads(this.#appId, this.#parts);
    await aheads.read(releaseId);
    return {
      newId: () => this.#newId(releaseId, aheads),
      begin: (record) => this.#prepare(record, aheads),
    };
  }

  /** Standbys are for those whose start begins ahead: they are the ones that somebody waits for. */
  #newId(releaseId: string, aheads: Aheads): string {
    const { engine, random } = this.#parts;
    return (aheads.isContainer(releaseId) ? engine.standbyId() : undefined) ?? random.uuid();
  }

  /** It will be launched by one of the next looks, exactly as the engine is told now. */
  #prepare(record: DynoRecord, aheads: Aheads): void {
    const spec = aheads.specOf(record);
    if (spec === undefined) return;
    try {
      this.#parts.engine.prepare(spec);
      this.#ahead.set(record.id, spec);
    } catch (error) {
      this.#parts.logger.warn("dyno.not_prepared", { appId: this.#appId, dynoId: record.id, error }); // its launch says what is wrong
    }
  }

  /** Of the dynos that these make, if they are few. */
  async #aheadsOf(actions: readonly StoreAction[]): Promise<Aheads> {
    const aheads = new Aheads(this.#appId, this.#parts);
    const making = actions.filter((action) => action.kind === "create" || action.kind === "begin-command");
    for (const { releaseId } of making.length <= PREPARED_MAX ? making : []) await aheads.read(releaseId);
    return aheads;
  }

  async #promote({ releaseId, after, types }: Of<"promote">, store: SupervisorStore): Promise<boolean> {
    const release = await store.releases.byId(releaseId);
    const app = await store.apps.byId(this.#appId);
    if (release?.status !== "pending" || app?.currentReleaseId !== after) return false;
    await store.releases.setStatus(releaseId, "succeeded");
    await store.apps.update(this.#appId, { currentReleaseId: releaseId, releasedAt: this.#parts.clock.now() });
    if (types.length > 0) await store.formation.sync(this.#appId, types);
    await store.dynos.clearCrashes(this.#appId); // a new release begins a new row (spec 3.4)
    return true;
  }

  async #do(action: EngineAction, context: Context): Promise<void> {
    const { engine, clock } = this.#parts;
    switch (action.kind) {
      case "say":
        say(this.#parts, this.#appId, action.lines);
        return this.#attempt("say", { id: action.dynoId }, async () => {});
      case "signal":
        return this.#attempt(action.signal, { id: action.dynoId }, async () => {
          if (action.settle) await context.settled;
          await within(clock, CALL_MS, "signal", engine.signal(action.dynoId, action.signal));
        });
      case "forget":
        return this.#attempt("forget", { id: action.dynoId }, () => this.#forget(action, context.signal));
      case "launch":
        return this.#attempt("launch", action.record, async () => {
          const { launches, marks } = context;
          const ahead = this.#ahead.get(action.record.id);
          this.#ahead.delete(action.record.id);
          // An image may take minutes, and starts of all apps wait here.
          if (ahead === undefined) await launches.of(action.record.releaseId);
          await this.#parts.starts.run(async () => {
            await launch(action.record, launches, this.#parts, { marks, ahead });
            this.#follow(action.record); // only now: looking for a log that is not there takes time from the start
          });
        });
      default:
        return action satisfies never;
    }
  }

  async #forget({ dynoId, exitedAt }: Of<"forget">, signal: AbortSignal): Promise<void> {
    const { engine, logs, clock } = this.#parts;
    if (exitedAt !== null) {
      const isCarried = await this.#isCarried(dynoId, 500, signal);
      if (!isCarried && clock.now() < exitedAt + CARRY_MS)
        throw new EngineError("unavailable", "its log is being read");
    }
    await within(clock, CALL_MS, "remove", engine.remove(dynoId));
    logs.forget(dynoId);
    this.#attempts.roomMade();
  }

  async #settle(): Promise<void> {
    const { routing, clock } = this.#parts;
    try {
      await within(clock, SETTLE_MS, "router", routing.settle(this.#appId));
    } catch (cause) {
      throw new EngineError("unavailable", "the router was not told", cause);
    }
  }

  #follow(record: DynoRecord): void {
    if (record.oneOff?.attach === true || this.#followed.has(record.id)) return;
    this.#parts.logs.follow({ id: record.id, appId: this.#appId, name: record.name });
    this.#followed.add(record.id);
  }

  /** Its last lines come before what is said of its end; but a dyno that wrote too much does not hold up its restart. */
  async #carryLog(record: DynoRecord, ms: number, signal: AbortSignal): Promise<void> {
    if (record.launchedAt === null) return;
    this.#follow(record);
    if (!(await this.#isCarried(record.id, ms, signal))) {
      this.#parts.logger.warn("dyno.log-late", { appId: this.#appId, dynoId: record.id });
    }
  }

  async #isCarried(dynoId: string, ms: number, signal: AbortSignal): Promise<boolean> {
    const { clock, logs } = this.#parts;
    const late = new AbortController();
    const stop = () => late.abort();
    signal.addEventListener("abort", stop, { once: true });
    try {
      await within(clock, ms, "log", logs.ended(dynoId, late.signal));
      return true;
    } catch {
      return false; // late, stopped, or its log cannot be read: its end is told all the same
    } finally {
      late.abort();
      signal.removeEventListener("abort", stop);
    }
  }

  /** Notes how the call went; a failure is not the caller's, the next look decides. */
  async #attempt(kind: AttemptKind, dyno: { readonly id: string; readonly name?: string }, call: () => Promise<void>) {
    try {
      await call();
      this.#attempts.succeeded(kind, dyno.id);
    } catch (error) {
      const attempt = this.#attempts.failed(kind, dyno.id, error);
      this.#parts.logger.warn("dyno.call-failed", { appId: this.#appId, dynoId: dyno.id, call: kind, error });
      if (kind === "launch" && dyno.name !== undefined) this.#tell(dyno.name, attempt);
    }
  }

  /** Users hear of a start that fails for a reason of its own, at the 1st, 2nd, 4th, 8th ... time. */
  #tell(name: string, { error, failures, message, nextAt }: Attempt): void {
    if (error === "checksum") return; // R17 says it
    if (error === "unavailable" || error === "gone" || !Number.isInteger(Math.log2(failures))) return;
    const wait = Math.ceil((nextAt - this.#parts.clock.now()) / 1000);
    const text = `Error R99 (Platform error) -> The dyno could not be started: ${message}; trying again in ${wait} s`;
    say(this.#parts, this.#appId, [{ source: "heroku", process: name, text }]);
  }
}

interface Context {
  readonly settled: Promise<void> | undefined;
  readonly launches: Launches;
  readonly marks: Omit<CallerMarks, "asked">;
  readonly signal: AbortSignal;
}

const ENGINE_ACTIONS: ReadonlySet<Action["kind"]> = new Set(["launch", "signal", "forget", "say"]);

function isEngineAction(action: Action): action is EngineAction {
  return ENGINE_ACTIONS.has(action.kind);
}

function isStoreAction(action: Action): action is StoreAction {
  return !isEngineAction(action);
}

/** A dyno is started only once the store knows that it was asked for. */
function isNoted(action: EngineAction, written: readonly StoreAction[]): boolean {
  if (action.kind !== "launch" || action.record.launchedAt !== null) return true;
  return written.some((each) => each.kind === "change" && each.record.id === action.record.id);
}

function endsDyno(action: StoreAction): action is Of<"change"> {
  return action.kind === "change" && action.change.exit !== undefined && action.change.exit !== null;
}

/** Whether the record is still as the plan saw it. */
/** Begins an end that sleep is the reason for; what was begun goes on, whether or not its app wakes up. */
function isPutToSleep({ record, change }: Of<"change">): boolean {
  return record.stopping === null && change.stopping?.reason === "idle";
}

async function isUnchanged(seen: DynoRecord, store: SupervisorStore): Promise<boolean> {
  const record = await store.dynos.byId(seen.id);
  return record !== undefined && isDeepStrictEqual(record, seen);
}
