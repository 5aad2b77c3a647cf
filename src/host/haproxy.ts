import { existsSync } from "node:fs";
import { open, readFile, rename, writeFile } from "node:fs/promises";
import { isIPv4 } from "node:net";
import { dirname, join } from "node:path";
import { EngineError } from "../engine/engine.ts";
import type { Clock } from "../lib/clock.ts";
import { type ChildProcess, run, start } from "../lib/command.ts";
import { Limit } from "../lib/limit.ts";
import type { Logger } from "../lib/logger.ts";
import { Nudge } from "../lib/nudge.ts";
import {
  type AppRoute,
  type CertificateTarget,
  type Challenge,
  LEAVE_MS,
  type RouteCertificate,
  type RouteTarget,
} from "../router/routes.ts";
import { CertificateTable } from "./certificate-table.ts";
import { HaproxyCertificates } from "./haproxy-certificates.ts";
import {
  type Changes,
  changesFor,
  commandsFor,
  deletionsFor,
  freshWorker,
  needsReload,
  noteTold,
  type Worker,
} from "./haproxy-commands.ts";
import {
  type BackendRef,
  backendOf,
  configPath,
  type HaproxyLayout,
  MAP_NAMES,
  mapPath,
  renderConfig,
  renderMaps,
  renderPages,
  type Server,
  type Snapshot,
  statsSocket,
} from "./haproxy-config.ts";
import { applyBy, HaproxySocket, parseBusy } from "./haproxy-socket.ts";
import { HaproxyTalk } from "./haproxy-talk.ts";
import { KeptProcess, killMarked } from "./kept-process.ts";
import type { RequestRingFiles } from "./request-ring-files.ts";
import { RouteTable } from "./route-table.ts";

export interface HaproxyOptions {
  readonly layout: HaproxyLayout;
  /** HAProxy's own user. */
  readonly user: { readonly uid: number; readonly gid: number };
  /** Where the routes are remembered: on tmpfs before each change, on disk soon after. */
  readonly tables: { readonly volatile: string; readonly durable: string };
  readonly pidFile: string;
  /** Where HAProxy's request lines are, if it is a version whose rings the daemon can read. */
  readonly rings: RequestRingFiles;
  /** HAProxy's own words go here. */
  readonly logFile: string;
  /** Certificate chain and key for the https port, PEM. */
  readonly certificate: () => Promise<string>;
  /** Where a dyno listens; undefined when it has no address (any more). */
  readonly addressOf: (dynoId: string) => { readonly address: string; readonly port: number } | undefined;
  /** Whether the address belongs to this instance's dynos. */
  readonly isDynoAddress: (address: string) => boolean;
  /** How many certificates HAProxy reads when it starts (default 500); the others follow over its socket. */
  readonly certificatesAtStart?: number;
  /** How many backends for apps to come it reads then (default 200); the others come by a reload. */
  readonly spareAtStart?: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

export const PROGRAM = "/usr/sbin/haproxy";
/** Changes that need a reload are gathered for this long. */
const GATHER_MS = 50;
/** Apps that the worker before is told of between two looks whether the new one is there. */
const MEANWHILE_AT_ONCE = 50;
const READY_MS = 10_000;
/** A worker reads a certificate in 0.8 ms. */
const READY_EACH_MS = 5;
/** So that after a crash apps answer at once, however many certificates there are: the others follow within seconds. */
const CERTIFICATES_AT_START = 500;
/** So it is with backends for apps to come: a reload brings the others. */
const SPARE_AT_START = 200;
/** A change that cannot be made for so long fails; it stays wanted. */
const PATIENCE_MS = 10_000;
const DELETE_MS = 1_000;
const DELETE_AT_ONCE = 10;
const DURABLE_MS = 5_000;
const RINGS_MS = 60_000;
const LEAVE_LOOK_MS = 20;
/** `show stat` of servers alone. */
const SERVERS = 4;

/**
 * The root side of the router (architecture, decision 6): renders what the routes say into HAProxy's configuration, keeps HAProxy
 * running, and tells it changes over its runtime socket. HAProxy outlives us and is found again.
 */
export class Haproxy implements RouteTarget, CertificateTarget, AsyncDisposable {
  readonly #options: HaproxyOptions;
  readonly #table: RouteTable;
  readonly #socket: HaproxySocket;
  readonly #certificateTable: CertificateTable;
  readonly #certificates: HaproxyCertificates;
  readonly #changed = new Nudge();
  readonly #closed = new AbortController();
  readonly #kept: KeptProcess;
  readonly #loops: Promise<unknown>;
  /** What the current worker has; undefined: to be asked. */
  #worker: Worker | undefined;
  /** A reload is due, whatever the commands say. */
  #stale = false;
  #up = false;
  /** The apps of which HAProxy may have something else than is wanted. */
  #pending = new Set<string>();
  /** So may it of any app. */
  #pendingAll = true;
  /** Not on disk yet. */
  #unsaved = false;
  /** One at a time: a server that one is about to enable must not be deleted by the other. */
  readonly #alone = new Limit(1);
  /** The files are written by one at a time: HAProxy may die, and begin anew, while a reload writes them. */
  readonly #writing = new Limit(1);
  /** Counts changes; a sync that began at a count has made all changes up to it. */
  #wantedCount = 0;
  #doneCount = 0;
  readonly #waiters = new Set<() => void>();

  private constructor(options: HaproxyOptions, table: RouteTable, certificates: CertificateTable) {
    this.#options = options;
    this.#table = table;
    this.#socket = new HaproxySocket(masterSocket(options.layout), options.clock);
    this.#certificateTable = certificates;
    this.#certificates = new HaproxyCertificates({
      layout: options.layout,
      table: certificates,
      replace: (path, text) => this.#replace(path, text),
      checkConfig: (path) => this.#checkConfig(path),
      ask: (pid, text) => this.#socket.one(pid, text),
      logger: options.logger,
    });
    this.#kept = new KeptProcess({
      name: "haproxy",
      pidFile: options.pidFile,
      mark: this.#mark(),
      start: () => this.#start(),
      onUp: (how) => this.#onUp(how),
      clock: options.clock,
      logger: options.logger,
    });
    this.#loops = Promise.all([this.#follow(), this.#tidy()]);
  }

  /** The folders must be there. Returns at once; changes wait until HAProxy is up. */
  static async open(options: HaproxyOptions): Promise<Haproxy> {
    const { volatile, durable } = options.tables;
    const certificates = await CertificateTable.load(join(dirname(durable), "certificates"));
    return new Haproxy(options, await RouteTable.load([volatile, durable]), certificates);
  }

  get pid(): number | undefined {
    return this.#kept.pid;
  }

  async setRoute(route: AppRoute): Promise<void> {
    const changed = this.#table.set(route);
    if (changed.length === 0 && this.#wantedCount === this.#doneCount) return this.#sameAgain(route);
    await this.#change(changed);
  }

  async removeRoute(appId: string): Promise<void> {
    const changed = this.#table.remove(appId);
    if (changed.length > 0 || this.#wantedCount !== this.#doneCount) await this.#change(changed);
  }

  async untilLeft(appId: string): Promise<void> {
    const { clock } = this.#options;
    const closed = this.#closed.signal;
    const until = clock.now() + LEAVE_MS;
    while (!closed.aborted && (await this.#isServedByFormer(appId)) && clock.now() < until)
      await clock.sleep(LEAVE_LOOK_MS, closed).catch(() => {}); // closed
  }

  async isBusy(appId: string): Promise<boolean> {
    return (await this.#busyOf(appId)).length > 0;
  }

  async listRoutes(): Promise<readonly string[]> {
    return this.#table.apps();
  }

  /** The certificates that HAProxy would refuse are refused before anything changes. */
  async setCertificates(appId: string, certificates: readonly RouteCertificate[]): Promise<void> {
    const known = new Set(this.#certificateTable.certificates().map(({ pem }) => pem));
    for (const { pem, hosts } of certificates) {
      const refusal = known.has(pem) ? null : await this.#certificates.refusal(pem, hosts);
      known.add(pem);
      if (refusal !== null) throw new EngineError("invalid", `the certificate for ${hosts.join(", ")}: ${refusal}`);
    }
    await this.#certificateTable.set(appId, certificates);
    do await this.#change();
    while (!this.#certificates.isCurrent);
  }

  async listCertificates(): Promise<readonly { readonly appId: string; readonly digest: string }[]> {
    return this.#certificateTable.digests();
  }

  certificateRefusal(pem: string): Promise<string | null> {
    return this.#certificates.refusal(pem, []);
  }

  async setChallenge(challenge: Challenge): Promise<void> {
    await this.#certificateTable.setChallenge(challenge);
    await this.#change();
  }

  async removeChallenge(host: string): Promise<void> {
    if (await this.#certificateTable.removeChallenge(host)) await this.#change();
  }

  async listChallenges(): Promise<readonly string[]> {
    return this.#certificateTable.challenges().map(({ host }) => host);
  }

  /** A dyno's address may have come or gone, any dyno's if it is not said whose: what HAProxy has is looked over soon. */
  refresh(dynoId?: string): void {
    const appIds = dynoId === undefined ? undefined : this.#table.appsWith(dynoId);
    if (appIds?.length === 0) return; // it gets no requests
    if (appIds === undefined) this.#pendingAll = true;
    for (const appId of appIds ?? []) this.#pending.add(appId);
    this.#wantedCount++;
    this.#changed.ring();
  }

  /** Loads certificate and configuration anew; no connection is lost. Throws `EngineError` if HAProxy refuses them. */
  async reload(): Promise<void> {
    this.#stale = true;
    await this.#change();
    if (this.#refusal !== undefined) throw this.#refusal;
  }

  /** Ends our watch; HAProxy goes on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    this.#changed.ring();
    await Promise.all([this.#kept[Symbol.asyncDispose](), this.#loops]);
    if (this.#unsaved) await this.#table.save(this.#options.tables.durable);
  }

  /** Of the workers that make way, too: a dyno may have requests of each. */
  async #isServedByFormer(appId: string): Promise<boolean> {
    const app = this.#table.wanted(appId, (dynoId) => this.#serverOf(dynoId));
    if (app === undefined) return false;
    const now = new Set<string>(app.servers.map(({ dynoId }) => dynoId));
    return (await this.#busyOf(appId)).some((dynoId) => !now.has(dynoId));
  }

  /** Dynos of the app that have a request open, in whichever worker. */
  async #busyOf(appId: string): Promise<readonly string[]> {
    const backends = this.#table.backendsOf(appId);
    if (backends.length === 0) return [];
    const { current, old } = await this.#socket.workers();
    const busy: string[] = [];
    for (const pid of [current, ...old])
      for (const name of backends)
        busy.push(...parseBusy(await this.#socket.one(pid, `show stat ${name} ${SERVERS} -1`)));
    return busy;
  }

  /** The same route: only its dynos' addresses may differ from what HAProxy has. */
  async #sameAgain({ appId }: AppRoute): Promise<void> {
    const worker = this.#worker;
    const isTold = worker?.told.has(appId) === true;
    if (!isTold || changesFor(this.#options.layout, worker, this.#changesOf([appId])).length > 0)
      await this.#change([appId]);
  }

  /** Resolves once HAProxy does what the table says now. */
  async #change(appIds: readonly string[] = []): Promise<void> {
    const { clock } = this.#options;
    const count = ++this.#wantedCount;
    for (const appId of appIds) this.#pending.add(appId);
    this.#unsaved = true;
    this.#changed.ring();
    const done = new AbortController();
    const check = (): void => {
      if (this.#doneCount >= count) done.abort();
    };
    this.#waiters.add(check);
    check();
    await clock.sleep(PATIENCE_MS, done.signal).catch(() => {}); // done
    this.#waiters.delete(check);
    if (!done.signal.aborted) throw new EngineError("unavailable", "the router could not be told; it is tried again");
  }

  async #follow(): Promise<void> {
    const { clock, logger } = this.#options;
    const closed = this.#closed.signal;
    let failures = 0;
    while (!closed.aborted) {
      if (this.#doneCount === this.#wantedCount || !this.#up) {
        await this.#changed.wait(60_000, closed, clock);
        continue;
      }
      try {
        const count = await this.#sync(failures >= 3);
        failures = 0;
        this.#doneCount = count;
        for (const check of this.#waiters) check();
      } catch (error) {
        if (this.#kept.pid === undefined) this.#up = false; // until `onUp`
        if (closed.aborted || !this.#up) continue;
        failures++;
        this.#worker = undefined; // whatever we believed of it, look again
        logger.warn("router.sync_failed", { error, failures });
        await clock.sleep(Math.min(2_000, 50 * failures), closed).catch(() => {}); // closed
      }
    }
  }

  /** Brings HAProxy to what the table says; gives the count of changes that are in. */
  async #sync(desperate: boolean): Promise<number> {
    const { tables } = this.#options;
    if (this.#table.needsBegin) await this.#table.begin(tables.volatile);
    const worker = (this.#worker ??= await this.#alone.run(() => this.#look()));
    if (desperate || this.#stale || needsReload(worker, this.#wantedApps())) return this.#reload(worker);
    const count = await this.#alone.run(() => this.#tellAll(worker));
    if (count === "reload") return this.#reload(worker);
    // Ahead of need: the next new apps find a spare backend, and nobody waits for the reload that makes more.
    if (this.#table.isShort) {
      this.#stale = true;
      this.#wantedCount++;
      this.#changed.ring();
    }
    return count;
  }

  async #tellAll(worker: Worker): Promise<number | "reload"> {
    const { layout } = this.#options;
    const all = this.#pendingAll;
    const [count, changes] = this.#take();
    const commands = all ? commandsFor(layout, worker, this.#snapshot()) : changesFor(layout, worker, changes);
    await this.#socket.apply(worker, commands);
    noteTold(worker, changes);
    const certificates = await this.#certificates.sync(worker.pid);
    if (certificates === "reload") return "reload";
    if (certificates === "more") {
      this.#wantedCount++;
      this.#changed.ring();
    }
    return count;
  }

  /** All that is pending, remembered first, so that a successor of ours never takes back what is in. */
  #take(): readonly [count: number, changes: Changes] {
    this.#table.remember();
    const changes = this.#changesOf(this.#pendingAll ? [...this.#pending, ...this.#table.apps()] : this.#pending);
    this.#pending.clear();
    this.#pendingAll = false;
    return [this.#wantedCount, changes];
  }

  #changesOf(appIds: Iterable<string>): Changes {
    const serverOf = (dynoId: string) => this.#serverOf(dynoId);
    return new Map(Array.from(appIds, (appId) => [appId, this.#table.wanted(appId, serverOf)]));
  }

  /** The apps that may have come; only the number of each one's backend is asked for. */
  #wantedApps(): readonly (BackendRef | undefined)[] {
    return Array.from(this.#pendingAll ? this.#table.apps() : this.#pending, (appId) => this.#table.row(appId));
  }

  async #look(): Promise<Worker> {
    this.#pendingAll = true; // it may have anything
    const { current } = await this.#socket.workers();
    await this.#options.rings.took(current, false);
    return this.#socket.look(current, this.#options.layout);
  }

  /** Hitless: the new worker takes the sockets over, the old one gives it what it still holds. */
  async #reload(before: Worker): Promise<number> {
    const { logger, clock } = this.#options;
    const { pid = 0 } = this.#kept;
    this.#demandAlive(pid);
    const since = clock.now();
    const over = new AbortController();
    const told = this.#tellMeanwhile(before, over.signal);
    try {
      await clock.sleep(GATHER_MS, this.#closed.signal).catch(() => {}); // closed
      this.#checkedHead = undefined;
      this.#stale = false;
      this.#refusal = undefined;
      const { snapshot, count } = await this.#writing.run(() => {
        this.#demandAlive(pid);
        return this.#writeFiles().catch((error: unknown) => {
          this.#refusal = new EngineError("invalid", "HAProxy refuses its new configuration and keeps the old one", {
            cause: error,
          });
          throw error;
        });
      });
      await this.#alone.run(async () => {
        this.#demandAlive(pid);
        this.#worker = undefined; // nobody asks while the master begins anew
        process.kill(pid, "SIGUSR2");
      });
      const fresh = await this.#untilReady(before.pid);
      this.#demandAlive(pid);
      await this.#options.rings.took(fresh, true);
      this.#worker = freshWorker(fresh, snapshot);
      logger.info("router.reloaded", { ms: clock.now() - since, worker: this.#worker.pid });
      return count;
    } finally {
      over.abort();
      for (const appId of await told) this.#pending.add(appId);
    }
  }

  /** A reload of one that has died is none: its successor has files of its own, and may be reading them. */
  #demandAlive(pid: number): void {
    if (!this.#up || this.#kept.pid !== pid) throw new Error("HAProxy is down");
  }

  /**
   * A reload takes seconds with thousands of apps, and until the new worker is there all requests come to the old one: so that is told
   * of changes, too, as far as it has a backend for them. Gives the apps that it was told of, for the new one.
   */
  async #tellMeanwhile(worker: Worker, over: AbortSignal): Promise<ReadonlySet<string>> {
    const { layout, clock, logger } = this.#options;
    const apps = new Set<string>();
    try {
      using talk = await HaproxyTalk.open(statsSocket(layout), clock);
      while (!over.aborted) {
        const some = [...this.#pending].slice(0, MEANWHILE_AT_ONCE);
        if (some.length === 0) {
          await this.#changed.wait(60_000, over, clock);
          continue;
        }
        this.#table.remember();
        for (const appId of some) {
          apps.add(appId);
          this.#pending.delete(appId);
        }
        const changes = new Map(
          [...this.#changesOf(some)].filter(([, app]) => app === undefined || worker.backends.has(backendOf(app))),
        );
        await this.#alone.run(async () => {
          await applyBy((texts) => talk.ask(texts), worker, changesFor(layout, worker, changes));
          noteTold(worker, changes);
        });
      }
    } catch (error) {
      logger.info("router.told_too_late", { error }); // it makes way for the new one, which is told next
    }
    return apps;
  }

  async #start(): Promise<ChildProcess> {
    const { user, logFile } = this.#options;
    this.#up = false;
    killMarked(this.#mark()); // a worker without master would take half of the connections
    const most = {
      certificates: this.#options.certificatesAtStart ?? CERTIFICATES_AT_START,
      spare: this.#options.spareAtStart ?? SPARE_AT_START,
    };
    this.#startedWith = await this.#writing
      .run(() => this.#writeFiles(most))
      .then(
        ({ snapshot }) => snapshot,
        (error: unknown) => this.#asBefore(error),
      );
    await using log = await open(logFile, "a", 0o640);
    // Quiet: it would write a line whenever a dyno refuses, which apps could do for as long as the disk has room.
    const args = asRouter(user, [...this.#mark(), "-q", "-S", `${masterSocket(this.#options.layout)},mode,600`]);
    return start("setpriv", args, { detached: true, stdio: ["ignore", log.fd, log.fd] });
  }
  /** What HAProxy refuses must not keep it down: it starts as it last did, and is asked what it has. */
  async #asBefore(error: unknown): Promise<undefined> {
    if (!existsSync(configPath(this.#options.layout))) throw error;
    const { rings, logger } = this.#options;
    logger.error("router.refused", { error });
    await rings.prepare().catch((why: unknown) => logger.error("router.no_ring", { error: why })); // if it says so
  }
  #startedWith: Snapshot | undefined;
  /** The configuration that was written last has fewer spare backends than the table. */
  #lacksSpare = false;
  /** Why the last reload was none. */
  #refusal: EngineError | undefined;
  /** What is the same for all routes, as HAProxy found it good. */
  #checkedHead: string | undefined;

  async #onUp(how: "adopted" | "started"): Promise<void> {
    const pid = await this.#untilReady(undefined).catch((error: unknown) => {
      this.#checkedHead = undefined; // whatever it is, look at everything again
      throw error;
    });
    await this.#options.rings.took(pid, how === "started");
    const known = how === "started" ? this.#startedWith : undefined;
    this.#worker = known === undefined ? undefined : freshWorker(pid, known);
    // Another port, or a newer program's configuration: what was adopted runs by that of its own start.
    if (how === "adopted" && !(await this.#runsAsLaidOut())) this.#stale = true;
    if (this.#lacksSpare) this.#stale = true;
    this.#up = this.#pendingAll = true;
    this.#wantedCount++; // what changed since the files were written, or since we died
    this.#changed.ring();
  }

  /** Whether the configuration that HAProxy was last given is ours now, in all but apps and dynos. */
  async #runsAsLaidOut(): Promise<boolean> {
    const layout = await this.#layout();
    const text = await readFile(configPath(layout), "utf8").catch(() => ""); // it ran without: to be given one
    return headOf(text) === headOf(renderConfig(layout, { apps: [], spare: [0] }));
  }

  /** As it is for the HAProxy that is installed. */
  async #layout(): Promise<HaproxyLayout> {
    const { layout, rings } = this.#options;
    return (await rings.suits(PROGRAM)) ? { ...layout, requestRing: rings.next } : layout;
  }

  /** Requests go before their lines: without a file (tmpfs may be full) they are sent, and the next reload tries again. */
  async #preparedLayout(): Promise<HaproxyLayout> {
    const { layout, rings, logger } = this.#options;
    const wanted = await this.#layout();
    if (wanted.requestRing === undefined) return layout;
    try {
      await rings.prepare();
      return wanted;
    } catch (error) {
      logger.error("router.no_ring", { error });
      return layout;
    }
  }

  /** The pid of the worker that came up; not `before`. */
  async #untilReady(before: number | undefined): Promise<number> {
    const { clock } = this.#options;
    const until = clock.now() + READY_MS + READY_EACH_MS * this.#certificateTable.certificates().length;
    for (;;) {
      const found = await this.#socket.workers().catch((error: unknown) => error);
      if (isWorkers(found) && found.current !== before) return found.current;
      if (this.#kept.pid === undefined) throw new Error("HAProxy ended as it came up", { cause: found });
      if (clock.now() > until) throw new Error("HAProxy did not come up", { cause: found });
      this.#closed.signal.throwIfAborted();
      await clock.sleep(10, this.#closed.signal);
    }
  }

  /** Writes all that HAProxy reads. What HAProxy refuses is taken back: it would start with it the next time. */
  async #writeFiles(most?: {
    readonly certificates: number;
    readonly spare: number;
  }): Promise<{ readonly snapshot: Snapshot; readonly count: number }> {
    const { tables } = this.#options;
    const layout = await this.#preparedLayout();
    this.#table.refill();
    await this.#table.begin(tables.volatile);
    const [count] = this.#take();
    const all = this.#snapshot();
    const snapshot = { ...all, spare: all.spare.slice(0, most?.spare) };
    this.#lacksSpare = snapshot.spare.length < all.spare.length;
    const maps = renderMaps(snapshot);
    const files: Readonly<Record<string, string>> = {
      ...Object.fromEntries(
        Object.entries(renderPages(layout)).map(([name, text]) => [join(layout.folder, name), text]),
      ),
      ...Object.fromEntries(MAP_NAMES.map((name) => [mapPath(layout, name), maps[name]])),
      [join(layout.folder, "router.pem")]: await this.#options.certificate(),
      [join(layout.folder, "hold.lua")]: await readFile(new URL("hold.lua", import.meta.url), "utf8"),
    };
    const former = new Map<string, string>();
    for (const [path, text] of Object.entries(files)) {
      const before = await readFile(path, "utf8").catch(() => undefined); // the first time
      if (before !== undefined) former.set(path, before);
      await this.#replace(path, text);
    }
    await this.#certificates.write(most?.certificates);
    const next = `${configPath(layout)}.next`;
    const config = renderConfig(layout, snapshot);
    const head = headOf(config) + files[join(layout.folder, "router.pem")];
    await this.#replace(next, config);
    try {
      // After a crash every tenth of a second counts: only servers and backends differ from what was checked.
      if (head !== this.#checkedHead) await this.#checkWithCertificates(next);
    } catch (error) {
      for (const [path, text] of former) await this.#replace(path, text);
      throw error;
    }
    await rename(next, configPath(layout));
    this.#checkedHead = head;
    return { snapshot, count };
  }

  /** One app's certificate must not keep the router from starting: those that HAProxy refuses for themselves are left out. */
  async #checkWithCertificates(path: string): Promise<void> {
    try {
      await this.#checkConfig(path);
    } catch (error) {
      if (!(await this.#certificates.leaveOutRefused())) throw error;
      await this.#certificates.write();
      await this.#checkConfig(path);
    }
  }

  /** HAProxy's own look at a configuration, as its user. Throws `CommandError` with its words. */
  async #checkConfig(path: string): Promise<void> {
    await run("setpriv", asRouter(this.#options.user, [PROGRAM, "-c", "-f", path]));
  }

  /** On tmpfs, where a rename is all that is needed. Root's; HAProxy's group may read. */
  async #replace(path: string, text: string): Promise<void> {
    const beside = `${path}.tmp`;
    await writeFile(beside, text, { mode: 0o640 });
    await using file = await open(beside, "r+");
    await file.chown(0, this.#options.user.gid);
    await rename(beside, path);
  }

  #snapshot(): Snapshot {
    return this.#table.snapshot((dynoId) => this.#serverOf(dynoId));
  }

  #serverOf(dynoId: string): Server | undefined {
    const found = this.#options.addressOf(dynoId);
    if (found === undefined || !isIPv4(found.address) || !this.#options.isDynoAddress(found.address)) return undefined;
    return { dynoId, address: found.address, port: found.port };
  }

  #mark(): readonly string[] {
    return [PROGRAM, "-W", "-f", configPath(this.#options.layout)];
  }

  /** A few at a time: what is wanted meanwhile does not wait for all of them. */
  async #deleteServers(worker: Worker): Promise<void> {
    const tried = new Set<string>();
    for (let isMore = true; isMore && worker === this.#worker; ) {
      await this.#alone.run(async () => {
        const due = deletionsFor(worker).filter(({ text }) => !tried.has(text));
        const now = due.slice(0, DELETE_AT_ONCE);
        for (const { text } of now) tried.add(text);
        isMore = due.length > now.length;
        if (now.length > 0) await this.#socket.tryEach(worker, now);
      });
    }
  }

  /** Work that may wait: servers without connections are deleted, and the routes reach the disk. */
  async #tidy(): Promise<void> {
    const { clock, logger, tables } = this.#options;
    const closed = this.#closed.signal;
    for (let round = 1; !closed.aborted; round++) {
      await clock.sleep(DELETE_MS, closed).catch(() => {}); // closed
      try {
        const worker = this.#worker;
        if (worker !== undefined) await this.#deleteServers(worker);
        if (round % (RINGS_MS / DELETE_MS) === 0) await this.#options.rings.tidy(clock.now());
        if (!this.#unsaved || round % (DURABLE_MS / DELETE_MS) !== 0) continue;
        this.#unsaved = false;
        await this.#table.save(tables.durable);
      } catch (error) {
        if (!closed.aborted) logger.warn("router.tidy_failed", { error });
      }
    }
  }
}

/** The part of a configuration that is the same for all routes. */
function headOf(config: string): string {
  return config.slice(0, config.search(/\nbackend [al]\d/));
}

function masterSocket({ socketFolder }: HaproxyLayout): string {
  return join(socketFolder, "master.sock");
}

function isWorkers(value: unknown): value is { readonly current: number } {
  return typeof value === "object" && value !== null && "current" in value;
}

/** Arguments of `setpriv` that run a program as HAProxy's user, with nothing but the right to listen below port 1024. */
function asRouter(
  { uid, gid }: { readonly uid: number; readonly gid: number },
  command: readonly string[],
): readonly string[] {
  const only = (name: string) => `--${name}=-all,+net_bind_service`;
  return [
    `--reuid=${uid}`,
    `--regid=${gid}`,
    "--clear-groups",
    only("inh-caps"),
    only("ambient-caps"),
    only("bounding-set"),
    "--no-new-privs",
    "--",
    ...command,
  ];
}
