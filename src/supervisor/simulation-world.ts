import { createHash } from "node:crypto";
import { SimEngine } from "../engine/sim/sim-engine.ts";
import { silentLogger } from "../lib/logger.ts";
import { type Random, seededRandom } from "../lib/random.ts";
import { SimClock } from "../lib/sim-clock.ts";
import type { App } from "../model/app.ts";
import { NO_MANIFEST } from "../model/app-manifest.ts";
import { ChecksumError } from "../model/checksum.ts";
import { type DynoRecord, routedDynos, unstarted } from "../model/dyno.ts";
import type { CheckKind } from "../model/health.ts";
import { parseChecks } from "../model/health-check.ts";
import type { Release } from "../model/release.ts";
import type { Runtime } from "../model/runtime.ts";
import { openStore } from "../store/sqlite.ts";
import type { Store } from "../store/store.ts";
import type { SupervisorStore } from "./parts.ts";
import type { plan } from "./plan.ts";
import { Life, type Lifetime } from "./simulation-life.ts";
import type { Supervision } from "./supervision.ts";
import { startSupervisor } from "./supervisor.ts";

export const ROTTEN = "0".repeat(64);
const ROUTER_PATIENCE_MS = 20_000;

export interface WorldOptions {
  readonly seed?: number;
  readonly plan?: typeof plan;
  /** What the supervisor sees in place of the store: tests plant faults here. */
  readonly storeFault?: (store: SupervisorStore) => SupervisorStore;
}

/** The supervisor with everything around it: a real store in memory, a simulated engine and clock, and stand-ins for the rest. */
export class World implements AsyncDisposable {
  readonly clock: SimClock;
  readonly random: Random;
  readonly store: Store;
  readonly engine: SimEngine;
  /** `web.1: Process exited with status 1`, in the order written. */
  readonly lines: string[] = [];
  /** Web dynos that get requests, by app, as of the last time the router was told. */
  readonly routed = new Map<string, readonly string[]>();
  /** Release commands that the engine was made to run, by their release; each time counts. */
  readonly commands = new Map<string, readonly string[]>();
  /** Release commands whose output is kept, by their release, and whether it is whole. */
  readonly recorded = new Map<string, boolean>();
  /** What was promised and not kept. */
  readonly broken: string[] = [];
  /** Dynos that builds of this daemon work with. */
  readonly builds = new Set<string>();
  /** What goes wrong with the store, the router and the logs; see `Life`. */
  storeFails: () => "before" | "after" | undefined = () => undefined;
  routerFails: () => boolean = () => false;
  logsTakeMs: () => number = () => 0;
  /** Whether what is kept of slugs is not what was built. */
  slugsRot = false;
  /** The app whose slugs' images are begun and never made. */
  imageless: string | undefined;
  /** Since when this daemon lives. */
  bornAt = 0;
  supervisor: (Supervision & AsyncDisposable) | undefined;
  life: Life | undefined;
  readonly #faults: Pick<WorldOptions, "plan" | "storeFault">;
  /** Until the router has been away, no dyno is stopped that it sends requests to. */
  #routerAwayAt = Number.NEGATIVE_INFINITY;
  #ownerId = "";

  static async make({ seed = 1, ...faults }: WorldOptions = {}): Promise<World> {
    const random = seededRandom(seed);
    const clock = new SimClock();
    const bytes = (count: number) => Buffer.from(Array.from({ length: count }, () => random.below(256)));
    const store = await openStore({ path: ":memory:", key: [new Uint8Array(32)], clock, random: bytes });
    const world = new World(clock, random, store, faults);
    world.#ownerId = (await store.users.ensure("me@example.com")).id;
    return world;
  }

  private constructor(clock: SimClock, random: Random, store: Store, faults: WorldOptions) {
    this.clock = clock;
    this.random = random;
    this.store = store;
    this.#faults = faults;
    this.engine = new SimEngine({
      clock,
      onStart: ({ kind, id, releaseId }) => {
        if (kind !== "release" || releaseId === null) return;
        this.commands.set(releaseId, [...(this.commands.get(releaseId) ?? []), id]);
      },
      onSignal: ({ spec }, signal) => {
        const isRouted = this.routed.get(spec.appId)?.includes(spec.id) === true;
        if (signal === "TERM" && isRouted && this.elapsed > this.#routerAwayAt + ROUTER_PATIENCE_MS)
          this.broken.push(`${spec.name} got SIGTERM while requests went to it`);
      },
    });
  }

  /** Time that has passed, whatever the wall clock was set to. */
  get elapsed(): number {
    return this.clock.elapsed;
  }

  /** Starts the daemon's part, for as long as it is given to live. */
  async start(lifetime?: Lifetime): Promise<void> {
    const life = new Life(lifetime);
    this.life = life;
    this.bornAt = this.elapsed;
    const { clock, random } = this;
    const { plan, storeFault = (store) => store } = this.#faults;
    const supervisor = await startSupervisor({
      store: life.store(storeFault(this.store), () => this.storeFails()),
      engine: life.wrap(this.engine),
      clock: life.wrap(clock),
      random,
      logger: { ...silentLogger, error: (event) => void this.broken.push(event) },
      domain: "localhost",
      routerPorts: [],
      builds: { isLive: (id) => this.builds.has(id) },
      routing: life.wrap({ settle: (appId: string) => this.#settle(appId) }),
      slugs: life.wrap({ ensure: (slugId: string, uidIndex: number) => this.#ensureSlug(slugId, uidIndex) }),
      sink: life.wrap({ append: (_: string, line) => void this.lines.push(`${line.process}: ${line.text}`) }),
      commands: life.wrap({
        follow: ({ releaseId, exit }: DynoRecord) => void this.recorded.set(releaseId, exit !== null),
      }),
      logs: life.wrap({
        follow: () => {},
        ended: (_: string, signal: AbortSignal) => clock.sleep(this.logsTakeMs(), signal),
        forget: () => {},
        output: async function* () {},
      }),
      ...(plan !== undefined && { plan }),
    });
    this.supervisor = supervisor;
  }

  /** As `kill -9`: no call of the daemon's goes on, and nothing is tidied up. */
  kill(): void {
    this.life?.die();
    this.supervisor = undefined;
  }

  async app(
    processTypes: Readonly<Record<string, string>> = {},
    runtime: Partial<Runtime> = {},
    checks: Readonly<Record<string, readonly CheckKind[]>> = {},
  ): Promise<App> {
    const name = `app-${this.random.below(1e9)}`;
    const app = await this.store.apps.create({
      name,
      ownerId: this.#ownerId,
      stack: "debian-12",
      domain: "localhost",
    });
    await this.store.apps.update(app.id, runtime);
    for (const [type, kinds] of Object.entries(checks)) await this.checks(app.id, type, ...kinds);
    if (Object.keys(processTypes).length > 0) await this.deploy(app.id, processTypes);
    return app;
  }

  /** A new release, pending. */
  async deploy(appId: string, processTypes: Readonly<Record<string, string>>): Promise<Release> {
    return this.store.transaction(async (store) => {
      const slug = await store.slugs.create({
        appId,
        digest: createHash("sha256").update(JSON.stringify(processTypes)).digest("hex"),
        sizeBytes: 1,
        processTypes,
        stack: "debian-12",
        commit: null,
        buildpackDescription: null,
        manifest: NO_MANIFEST,
      });
      const release = {
        appId,
        slugId: slug.id,
        description: "Deploy",
        userId: this.#ownerId,
        status: "pending",
        withCommand: true,
      } as const;
      return store.releases.create(release);
    });
  }

  async scale(appId: string, type: string, quantity: number, size?: string): Promise<void> {
    await this.store.formation.change(appId, [{ type, quantity, ...(size !== undefined && { size }) }]);
  }

  /** A one-off dyno's record, as the API makes it. */
  async run(appId: string, command: string, oneOff: Partial<DynoRecord["oneOff"]> = {}): Promise<DynoRecord> {
    const app = await this.store.apps.byId(appId);
    const now = this.clock.now();
    const record: DynoRecord = {
      id: this.random.uuid(),
      appId,
      kind: "run",
      name: `run.${1 + this.random.below(9999)}`,
      type: "run",
      releaseId: app?.currentReleaseId ?? "",
      size: "Basic",
      command,
      ...unstarted(now),
      oneOff: {
        attach: false,
        awaiting: false,
        terminal: null,
        env: {},
        timeToLive: null,
        userEmail: "me@example.com",
        ...oneOff,
      },
      port: null,
    };
    await this.store.dynos.create(record);
    return record;
  }

  /** Checks of a process type, for dynos that start from now on; every second, twice in a row. */
  async checks(appId: string, type: string, ...kinds: readonly CheckKind[]): Promise<void> {
    const probe = type === "web" ? { path: "/up" } : { command: "bin/check" };
    const list = kinds.map((kind) => ({ type: kind, ...probe, wait: 1, ...(kind !== "startup" && { attempts: 2 }) }));
    await this.store.checks.set(appId, type, parseChecks(type, list, "checks"));
  }

  records(appId: string): Promise<readonly DynoRecord[]> {
    return this.store.dynos.list(appId);
  }

  /** `web.1 up`, sorted, of every dyno that the engine runs and nobody is stopping. */
  async standing(appId: string): Promise<readonly string[]> {
    const records = new Map((await this.records(appId)).map((record) => [record.id, record]));
    return this.engine.live
      .filter(({ spec }) => spec.appId === appId)
      .map(({ spec }) => records.get(spec.id))
      .filter((record) => record?.stopping === null)
      .map((record) => `${record?.name} ${record?.state}`)
      .sort((a, b) => (a < b ? -1 : 1));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const stopping = this.supervisor?.[Symbol.asyncDispose]();
    await this.clock.advance(0);
    await stopping;
    await this.store[Symbol.asyncDispose]();
  }

  async #ensureSlug(slugId: string, uidIndex: number): Promise<void> {
    const slug = await this.store.slugs.byId(slugId);
    if (slug !== undefined && slug.appId === this.imageless) return new Promise<never>(() => {});
    if (slug !== undefined && this.slugsRot) throw new ChecksumError(slug.digest, ROTTEN);
    if (slug !== undefined) this.engine.addSlug({ digest: slug.digest, uidIndex });
  }

  async #settle(appId: string): Promise<void> {
    if (this.routerFails()) {
      this.#routerAwayAt = this.elapsed;
      throw new Error("the router is away");
    }
    const app = await this.store.apps.byId(appId);
    const dynos = routedDynos(await this.records(appId), app?.currentReleaseId ?? null);
    this.routed.set(
      appId,
      dynos.map(({ id }) => id),
    );
  }
}
