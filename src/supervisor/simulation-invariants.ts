import type { DynoSpec } from "../engine/engine.ts";
import type { Instant } from "../lib/clock.ts";
import type { App } from "../model/app.ts";
import { type DynoRecord, isLive, ordinalOf, routedDynos, type StopReason } from "../model/dyno.ts";
import type { Formation } from "../model/formation.ts";
import { type Health, isSameHealth, notPassing } from "../model/health.ts";
import { RELEASE_TYPE, type Release } from "../model/release.ts";
import { DEFAULT_RUNTIME, type RestartPolicyName, type RolloutName } from "../model/runtime.ts";
import type { CrashRecord } from "../store/store.ts";
import { nextStartAt, RESTART_POLICIES } from "./restart-policy.ts";
import { stopsFirst } from "./rollout.ts";
import { Acknowledged } from "./simulation-acknowledged.ts";
import type { World } from "./simulation-world.ts";
import { wasAskedToEnd } from "./transitions.ts";

/** What people asked of an app, in the order of time: what the supervisor may do follows from it. */
export interface Asked {
  readonly at: Instant;
  readonly kind: "restart" | "stop";
}

/** What was asked a moment ago may still be on its way to be done. */
const LATE_MS = 90_000;
/** Looks that fail come after pauses of up to 5 s each. */
const BOOT_LATE_MS = 30_000;
const HALF_DAY_MS = 12 * 3_600_000;

/** Time alone makes it late that a dyno still gets requests. */
const HEALTH_LOOK_MS = 30_000;

/** Looks at one app after each step of the simulation and notes what must never be. */
export class Invariants {
  readonly #world: World;
  readonly #app: App;
  readonly asked: Asked[] = [];
  readonly acknowledged: Acknowledged;
  /** Releases whose programs do not come up. */
  readonly bad = new Set<string>();
  /** Without room for all, or with a clock that jumps, more is allowed. */
  isCalm = true;
  /** Strategies that the app has had. */
  readonly rollouts = new Set<RolloutName>();
  /** Whether dynos are ever cycled. */
  cycles = false;
  readonly #quantities: { readonly at: number; readonly of: ReadonlyMap<string, number> }[] = [];
  readonly #before = new Map<string, DynoRecord>();
  /** Since when they are seen by a living daemon. */
  readonly #orphans = new Map<string, number>();
  /** When the daemon was last seen dead: nobody scales away then. */
  #deadAt = Number.NEGATIVE_INFINITY;
  #steps = 0;
  #current: string | null = null;

  /** Changes of the store, and of the engine, that were looked at. */
  #storeChanges = 1;
  #seen = "";

  constructor(world: World, app: App) {
    this.#world = world;
    this.#app = app;
    this.acknowledged = new Acknowledged(world, app);
    world.store.onChange(() => this.#storeChanges++);
  }

  async check(): Promise<void> {
    const { store, engine } = this.#world;
    this.#steps++;
    if (this.#world.life?.isDead !== false) this.#deadAt = this.#world.elapsed;
    this.#noteHealth();
    const changes = `${this.#storeChanges} ${engine.changes} ${Math.floor(this.#world.elapsed / HEALTH_LOOK_MS)}`;
    if (changes === this.#seen) return;
    this.#seen = changes;
    const app = await store.apps.byId(this.#app.id);
    if (app === undefined) return;
    const records = await store.dynos.list(app.id);
    if (app.restartPolicy !== this.#policy.now)
      this.#policy = { now: app.restartPolicy, before: this.#policy.now, since: this.#world.elapsed };
    const formation = await store.formation.list(app.id);
    const byId = new Map(records.map((record) => [record.id, record]));
    const live = engine.live.filter(({ spec }) => spec.appId === app.id && spec.kind !== "build");
    this.#note(app.asleepSince === null ? formation : formation.map((row) => ({ ...row, quantity: 0 })));
    for (const what of await this.acknowledged.lost(app, records, formation)) this.#broken(what);
    const standing = live
      .map(({ spec }) => byId.get(spec.id))
      .filter((record) => record !== undefined && isLive(record));
    this.#oneForEachName(standing.filter((record) => record !== undefined));
    for (const { spec } of live) {
      const record = byId.get(spec.id);
      if (record === undefined) this.#orphan(spec.id, spec.name);
      else if (record.launchedAt === null) this.#broken(`${spec.name} runs and was never noted as launched`);
    }
    await this.#commandsFirst(live.map(({ spec }) => spec));
    this.#noneNeglected(records, app);
    const crashes = await store.dynos.crashes(app.id);
    for (const record of records) this.#noteEnd(record);
    for (const record of records) {
      if (!this.#before.has(record.id)) this.#noneTooEarly(record, crashes, app);
      await this.#transition(this.#before.get(record.id), record, app, records);
    }
    this.#before.clear();
    for (const record of records) this.#before.set(record.id, record);
    const current = app.currentReleaseId;
    if (current !== this.#current && current !== null && this.bad.has(current) && this.#least("web") > 0) {
      this.#broken("a release that does not come up became current");
    }
    this.#current = current;
  }

  /** Never two live dynos of one name and release, unless one is being stopped; never more names than asked for. */
  #oneForEachName(standing: readonly DynoRecord[]): void {
    const seen = new Set<string>();
    const releases = new Set<string>();
    for (const record of standing.filter(({ kind }) => kind === "formation")) {
      const key = `${record.name} of ${record.releaseId}`;
      if (seen.has(key)) this.#broken(`two live dynos of ${key}`);
      seen.add(key);
      releases.add(record.releaseId);
      const hadTime = this.#world.elapsed - Math.max(this.#deadAt, this.#world.bornAt) > LATE_MS;
      if (hadTime && ordinalOf(record.name) > this.#most(record.type)) this.#broken(`${record.name} was not asked for`);
    }
    if (releases.size > 3) this.#broken(`dynos of ${releases.size} releases at once`); // current, candidate, overtaken
  }

  /** Spec 5.3: one release command of an app at a time, each once, and no other dyno of its release before it has succeeded. */
  async #commandsFirst(live: readonly DynoSpec[]): Promise<void> {
    const commands = live.filter(({ kind }) => kind === "release");
    if (commands.length > 1) this.#broken(`${commands.map(({ name }) => name).join(" and ")} run side by side`);
    for (const [releaseId, ids] of this.#world.commands) {
      if (ids.length > 1) this.#broken(`the command of ${releaseId} was started ${ids.length} times`);
    }
    for (const releaseId of new Set(live.filter(({ kind }) => kind === "formation").map((spec) => spec.releaseId))) {
      const release = releaseId === null ? undefined : await this.#world.store.releases.byId(releaseId);
      const isEarly = release?.phase === "waiting" || release?.phase === "running";
      if (isEarly) this.#broken(`dynos of v${release.version} run before its command has succeeded`);
    }
  }

  /** A call that a dead daemon made may start what was given up meanwhile: the next daemon has to see to it, soon. */
  #orphan(id: string, name: string): void {
    const { elapsed, life } = this.#world;
    if (life?.isDead !== false) this.#orphans.delete(id);
    else if (elapsed - (this.#orphans.get(id) ?? elapsed) > LATE_MS)
      this.#broken(`${name} runs and no record knows it`);
    else if (!this.#orphans.has(id)) this.#orphans.set(id, elapsed);
  }

  async #transition(
    before: DynoRecord | undefined,
    after: DynoRecord,
    app: App,
    records: readonly DynoRecord[],
  ): Promise<void> {
    if (before !== undefined && before.exit !== null && after.exit === null)
      this.#broken(`${after.name} came back to life`);
    if (after.kind !== "formation" || after.stopping === null || before?.stopping !== null || before === undefined)
      return;
    await this.#mayStop(after, after.stopping.reason, app, records);
  }

  /** A dyno is stopped for a reason that holds. */
  async #mayStop(record: DynoRecord, reason: StopReason, app: App, records: readonly DynoRecord[]): Promise<void> {
    const release = await this.#world.store.releases.byId(record.releaseId);
    const isServing = record.releaseId === app.currentReleaseId;
    switch (reason) {
      case "restart": {
        const wasAsked = this.asked.some((each) => each.kind === "restart") || (await this.#wasResized(record));
        if (!wasAsked) this.#broken(`${record.name} was restarted and nobody asked`);
        return;
      }
      case "stop":
        if (!this.asked.some((each) => each.kind === "stop"))
          this.#broken(`${record.name} was stopped and nobody asked`);
        return;
      case "idle":
        if (app.asleepSince === null && this.isCalm)
          this.#broken(`${record.name} was put to sleep and its app is awake`);
        return;
      case "scale":
        if (ordinalOf(record.name) <= this.#least(record.type))
          this.#broken(`${record.name} was scaled away but wanted`);
        return;
      case "no-room":
        if (this.isCalm) this.#broken(`${record.name} made room where there was enough`);
        return;
      case "replaced":
        if (isServing && this.isCalm && !(await this.#mayGoFirst(record, app)))
          this.#broken(`${record.name} of the current release was replaced before its time`);
        return;
      case "cycling":
        if (!this.cycles) this.#broken(`${record.name} was cycled and nobody asked`);
        if (this.#world.clock.now() - (record.launchedAt ?? record.createdAt) < HALF_DAY_MS)
          this.#broken(`${record.name} was cycled before its time`);
        if (!isServing) this.#broken(`${record.name} was cycled and serves no more`);
        if (this.#othersUp(record, records) < this.#least(record.type) - 1)
          this.#broken(`${record.name} was cycled while another one was not up`);
        return;
      case "failed-release":
        if (release?.status !== "failed") this.#broken(`${record.name} was stopped for a failure that was not`);
        return;
      case "boot-timeout":
        if (record.type !== "web" && this.isCalm) this.#broken(`${record.name} has no port to wait for`);
        return;
      case "not-started":
        if (this.#saidNothing(record, ({ started, ready }) => !started || !ready))
          this.#broken(`${record.name} was ended for checks that pass`);
        return;
      case "unhealthy":
        if (this.#saidNothing(record, (health) => notPassing(health, "liveness")?.verdict === "failing"))
          this.#broken(`${record.name} was restarted for a liveness check that did not fail`);
        return;
      case "time-to-live":
      case "disconnected":
      case "app-destroyed":
        this.#broken(`${record.name} was stopped: ${reason}`);
        return;
      default:
        reason satisfies never;
    }
  }

  /** Its strategy stops old dynos first, and there is a newer release to replace it. */
  async #mayGoFirst(record: DynoRecord, app: App): Promise<boolean> {
    const { releases } = this.#world.store;
    const current = app.currentReleaseId === null ? undefined : await releases.byId(app.currentReleaseId);
    const isNewer = ((await releases.newest(app.id))?.version ?? 0) > (current?.version ?? 0);
    return isNewer && [...this.rollouts].some((rollout) => stopsFirst(rollout, record.type));
  }

  #othersUp(record: DynoRecord, records: readonly DynoRecord[]): number {
    const isLikeIt = (each: DynoRecord) => each.type === record.type && each.releaseId === record.releaseId;
    const wasUp = (each: DynoRecord) => (each.state === "up" && isLive(each)) || this.#endedAfter(each, record);
    return records.filter((each) => isLikeIt(each) && each.id !== record.id && wasUp(each)).length;
  }

  /** By the log, a later look than the one that cycled the other dyno ended it; at the same instant, perhaps. */
  #endedAfter({ name, stopping }: DynoRecord, cycled: DynoRecord): boolean {
    const line = { unhealthy: "Liveness check failed", replaced: "Restarting" }[String(stopping?.reason)];
    if (line === undefined) return false;
    const last = (start: string) => this.#world.lines.findLastIndex((each) => each.startsWith(start));
    return last(`${name}: ${line}`) > last(`${cycled.name}: Cycling`);
  }

  /** Whether its checks do not say that now, and did not a moment ago. */
  #saidNothing(record: DynoRecord, is: (health: Health) => boolean): boolean {
    const seen = this.#healths.get(record.id) ?? [];
    const since = this.#world.elapsed - LATE_MS;
    return !seen.some(({ until, health }) => until >= since && is(health));
  }

  /** What each dyno's checks have said, and until when. */
  readonly #healths = new Map<string, { until: number; readonly health: Health }[]>();

  #noteHealth(): void {
    const { engine, elapsed } = this.#world;
    for (const { spec, state } of engine.live) {
      if (state.kind !== "running" || state.health === undefined) continue;
      const seen = this.#healths.get(spec.id) ?? [];
      this.#healths.set(spec.id, seen);
      const last = seen.at(-1);
      if (last !== undefined) last.until = elapsed;
      if (last === undefined || !isSameHealth(last.health, state.health)) {
        seen.push({ until: elapsed, health: state.health });
        this.#healthSince.set(spec.id, elapsed);
      }
    }
  }

  readonly #healthSince = new Map<string, number>();

  /** What its checks say of a dyno is acted on, once a daemon has had the time to see it. */
  #noneNeglected(records: readonly DynoRecord[], app: App): void {
    const { engine, elapsed, bornAt, life } = this.#world;
    if (life?.isDead !== false || !this.isCalm) return;
    const routed = new Set(routedDynos(records, app.currentReleaseId).map(({ id }) => id));
    const standing = new Set(records.filter(isLive).map(({ id }) => id));
    for (const { spec, state } of engine.live) {
      if (state.kind !== "running" || state.health === undefined) continue;
      const since = Math.max(bornAt, this.#healthSince.get(spec.id) ?? elapsed);
      if (elapsed - since <= LATE_MS) continue;
      const { ready } = state.health;
      if (!ready && routed.has(spec.id)) this.#broken(`${spec.name} gets requests and is not ready`);
      const isDead = notPassing(state.health, "liveness")?.verdict === "failing";
      if (isDead && standing.has(spec.id)) this.#broken(`${spec.name} fails its liveness check and stays`);
      const isStuck = records.some(({ id, state: shown }) => id === spec.id && shown === "starting");
      const hadBootTime = elapsed - since > app.bootTimeoutSeconds * 1000 + BOOT_LATE_MS;
      if (isStuck && hadBootTime && !ready && standing.has(spec.id))
        this.#broken(`${spec.name} does not come up and stays`);
    }
  }

  /** The app's policy, and the one before. */
  #policy: { readonly now: RestartPolicyName; readonly before: RestartPolicyName; readonly since: number } = {
    now: DEFAULT_RUNTIME.restartPolicy,
    before: DEFAULT_RUNTIME.restartPolicy,
    since: 0,
  };

  /** Whose latest dyno was ended on purpose: what is started next in its place waits for no crash of before. */
  readonly #endedOnPurpose = new Set<string>();

  #noteEnd(record: DynoRecord): void {
    if (wasAskedToEnd(record)) this.#endedOnPurpose.add(placeOf(record));
    else if (record.state === "crashed") this.#endedOnPurpose.delete(placeOf(record));
  }

  /** Crashes wait as the policy says, those by liveness too. */
  #noneTooEarly(record: DynoRecord, crashes: readonly CrashRecord[], app: App): void {
    if (!this.isCalm || record.kind !== "formation" || record.releaseId !== app.currentReleaseId) return;
    if (this.#endedOnPurpose.has(placeOf(record))) return;
    const crash = crashes.find(({ name, lastAt }) => name === record.name && lastAt <= record.createdAt);
    // Starts of one plan come one after the other: those that were planned before a change of policy keep to the one before.
    const isFresh = this.#world.elapsed - this.#policy.since <= LATE_MS;
    const policies = [app.restartPolicy, ...(isFresh ? [this.#policy.before] : [])];
    const dueAt = Math.min(...policies.map((policy) => nextStartAt(RESTART_POLICIES[policy], crash, record.createdAt)));
    if (dueAt > record.createdAt) this.#broken(`${record.name} was started ${dueAt - record.createdAt} ms too early`);
  }

  async #wasResized(record: DynoRecord): Promise<boolean> {
    const formation = await this.#world.store.formation.list(this.#app.id);
    return this.resized.has(record.type) || formation.find(({ type }) => type === record.type)?.size !== record.size;
  }

  readonly resized = new Set<string>();

  /** What was asked for just now: a release may take the type away before the next look. */
  async noteFormation(): Promise<void> {
    this.#note(await this.#world.store.formation.list(this.#app.id));
  }

  #note(formation: readonly Formation[]): void {
    const dynos = formation.filter(({ type }) => type !== RELEASE_TYPE);
    const of = new Map(dynos.map(({ type, quantity }) => [type, quantity]));
    const latest = this.#quantities.at(-1);
    if (
      latest !== undefined &&
      [...of].every(([type, many]) => latest.of.get(type) === many) &&
      of.size === latest.of.size
    )
      return;
    this.#quantities.push({ at: this.#world.elapsed, of });
  }

  /** All that held within the last moments, the value before them included. */
  #recent(type: string): readonly number[] {
    const since = this.#world.elapsed - LATE_MS;
    const first = this.#quantities.findLastIndex(({ at }) => at <= since);
    const recent = this.#quantities.slice(Math.max(0, first)).map(({ of }) => of.get(type) ?? 0);
    return type === "web" && this.#quantities[0]?.of.size === 0 ? [...recent, 1] : recent;
  }

  #most(type: string): number {
    return Math.max(0, ...this.#recent(type));
  }

  #least(type: string): number {
    return Math.min(...this.#recent(type));
  }

  #broken(what: string): void {
    this.#world.broken.push(`step ${this.#steps}: ${what}`);
  }
}

const placeOf = ({ name, releaseId }: DynoRecord): string => `${name} of ${releaseId}`;

/** What must be once nothing goes wrong any more. Gives what is not. */
export async function notConverged(world: World, app: App, releases: readonly Release[]): Promise<readonly string[]> {
  const wrong: string[] = [];
  const now = await world.store.apps.byId(app.id);
  const current = now?.currentReleaseId ?? null;
  for (const { id, version } of releases) {
    if ((await world.store.releases.byId(id))?.status === "pending") wrong.push(`v${version} is still pending`);
  }
  const records = await world.records(app.id);
  const slugId = current === null ? null : ((await world.store.releases.byId(current))?.slugId ?? null);
  const types = slugId === null ? {} : ((await world.store.slugs.byId(slugId))?.processTypes ?? {});
  const formation = await world.store.formation.list(app.id);
  const wanted = (now?.asleepSince === null ? formation : [])
    .filter(({ type }) => Object.hasOwn(types, type))
    .flatMap(({ type, quantity, size }) =>
      Array.from({ length: quantity }, (_, index) => `${type}.${index + 1} ${size} ${current}`),
    );
  const running = world.engine.live
    .filter(({ spec }) => spec.appId === app.id && spec.kind === "formation")
    .map(({ spec }) => `${spec.name} ${spec.size} ${spec.releaseId}`);
  if (wanted.sort().join() !== running.sort().join())
    wrong.push(`runs: ${running.join(", ")}; wanted: ${wanted.join(", ")}`);
  for (const record of records) {
    const isEnded = record.exit !== null;
    if (record.kind === "formation" ? record.state !== "up" || isEnded : isEnded !== (record.state === "complete")) {
      wrong.push(`the record of ${record.name} says ${record.state}`);
    }
    if (record.ready === false) wrong.push(`${record.name} gets no requests and is ready`);
  }
  const known = new Set(records.filter(({ exit }) => exit === null).map(({ id }) => id));
  for (const { spec, state } of world.engine.dynos.filter((each) => each.spec.appId === app.id)) {
    if (!known.has(spec.id)) wrong.push(`the engine still has ${spec.name} (${state.kind})`);
  }
  return wrong;
}
