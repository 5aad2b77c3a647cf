import { randomBytes, randomUUID } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable, type Writable } from "node:stream";
import type { BuildRoutes } from "../../src/api/builds-interface.ts";
import type { AppLogs, LogEntry, LogFilter } from "../../src/api/logs-interface.ts";
import { type Api, type ApiOptions, startApi } from "../../src/api/server.ts";
import { openSigner } from "../../src/api/signer.ts";
import { type CertificatesOptions, startCertificates } from "../../src/certificates/certificates.ts";
import type { Config } from "../../src/config.ts";
import { type ByteStream, EngineError, type ExecRequest, type StartMarks } from "../../src/engine/engine.ts";
import { type SimProcess, simProcess } from "../../src/engine/sim/process.ts";
import { makeAuthority, makeServerCertificate } from "../../src/host/certificates.ts";
import { FakeTarget } from "../../src/host/testing.ts";
import { type Clock, systemClock } from "../../src/lib/clock.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { systemRandom } from "../../src/lib/random.ts";
import type { LogLine } from "../../src/logs/line.ts";
import type { Measured } from "../../src/metrics/measure.ts";
import type { UsageReader } from "../../src/metrics/usage-reader.ts";
import type { App, User } from "../../src/model/app.ts";
import { NO_MANIFEST } from "../../src/model/app-manifest.ts";
import type { DynoRecord } from "../../src/model/dyno.ts";
import { type IdleDyno, shownDynos } from "../../src/model/dyno.ts";
import type { EgressRule } from "../../src/model/egress-rule.ts";
import { PlatformError } from "../../src/model/errors.ts";
import type { Health } from "../../src/model/health.ts";
import { instanceOf } from "../../src/model/instance.ts";
import type { Isolation } from "../../src/model/isolation.ts";
import { Outbound } from "../../src/outbound/outbound.ts";
import { type AppRequests, RequestMetrics } from "../../src/router/request-metrics.ts";
import { OpenSessions } from "../../src/run/open-sessions.ts";
import { startScheduler } from "../../src/schedule/scheduler.ts";
import { FakeDoor } from "../../src/ssh/testing.ts";
import { openStore } from "../../src/store/sqlite.ts";
import type { Store } from "../../src/store/store.ts";
import type { HeadStart, Supervision, Which } from "../../src/supervisor/supervision.ts";
import { dynoRecord } from "./dyno.ts";

/** What a dyno of the tests does: reads its input, writes its output, ends with a status. */
export type Program = (dyno: {
  readonly command: string;
  readonly input: Readable;
  readonly output: Writable;
}) => Promise<number>;

/** A whole API over a real store, with stand-ins for what runs dynos. */
export interface World extends AsyncDisposable {
  readonly api: Api;
  readonly store: Store;
  readonly user: User;
  readonly token: string;
  readonly url: string;
  readonly home: string;
  readonly ca: string;
  readonly supervision: TestSupervision;
  readonly logs: TestLogs;
  readonly builds: TestBuilds;
  readonly target: FakeTarget;
  readonly usage: TestUsage;
  readonly door: FakeDoor;
  readonly openSessions: OpenSessions;
  readonly requests: { requestsOf: (appId: string) => AppRequests; lastRequestAt: () => undefined; linesLost: number };
  /** `{status, headers, json}` of one call with the owner's token. */
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  /** An app with a current release of these process types. */
  deployed(name: string, processTypes?: Readonly<Record<string, string>>): Promise<App>;
}

export interface CallOptions {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly token?: string | null;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- tests assert what is in it
  readonly json: any;
}

/** What stands for the supervisor and the engine in a world. */
export interface WorldEngine extends AsyncDisposable {
  readonly parts: Pick<ApiOptions, "supervision" | "engine" | "output">;
}

export async function openWorld(
  options: {
    readonly clock?: Clock;
    readonly program?: Program;
    readonly callsPerHour?: number;
    /** Where the database is, for a test that looks into it itself. */
    readonly databasePath?: string;
    /** Others than dynos in memory that do as they are told at once; `World.supervision` is idle then. */
    readonly engine?: (store: Store) => Promise<WorldEngine>;
    /** Others than builds in memory; `World.builds` is idle then. */
    readonly builds?: (
      parts: Pick<ApiOptions, "store" | "supervision" | "logs" | "config" | "clock">,
    ) => Promise<BuildRoutes & AsyncDisposable>;
    /** False for benchmarks: every answer is checked against its schema. */
    readonly checkResponses?: boolean;
    /** Other certificates than those in memory. */
    readonly certificates?: Partial<CertificatesOptions>;
  } = {},
): Promise<World> {
  const clock = options.clock ?? systemClock;
  const home = mkdtempSync(join(tmpdir(), "stator-api-"));
  const instance = withRun(instanceOf(home), join(home, "run"));
  for (const folder of [join(home, "tls"), instance.paths.data, instance.paths.daemonRun]) {
    mkdirSync(folder, { recursive: true });
  }
  const authority = await makeAuthority("Test CA", Date.now());
  const { certificate, key } = await makeServerCertificate(authority, ["127.0.0.1", "localhost"], Date.now());
  writeFileSync(join(home, "tls", "api.pem"), certificate);
  writeFileSync(join(home, "tls", "api.key"), key);
  writeFileSync(join(home, "ca.pem"), authority.certificate);
  const ports = { apiPort: 0, tlsPort: 0, httpPort: 8080, httpsPort: 8443 };
  const config: Config = {
    instance,
    ...ports,
    domain: "localhost",
    disk: "auto",
    auditDays: 400,
    execAddress: "127.91.0.1",
  };
  const store = await openStore({ path: options.databasePath ?? ":memory:", key: [randomBytes(32)], clock });
  const user = await store.users.ensure("owner@example.com");
  const mine = { userId: user.id, description: "test", scopes: ["global"], expiresAt: null };
  const { text: token } = await store.tokens.create(mine);
  const supervision = new TestSupervision(store, clock, options.program ?? (async () => 0));
  const logs = new TestLogs();
  const builds = new TestBuilds(store);
  const usage = new TestUsage();
  // As on a machine that allows this one address.
  const outbound = new Outbound({ clock, mayReach: async (_app, address) => address === "127.0.0.1" });
  const none = (appId: string) => ({ ...new RequestMetrics(0).requestsOf(appId, 1_000), byDyno: new Map() });
  const requests = { requestsOf: none, lastRequestAt: () => undefined, linesLost: 0 };
  const scheduler = startScheduler({
    store,
    supervision,
    sink: logs,
    clock,
    random: systemRandom,
    logger: silentLogger,
  });
  const instead = await options.engine?.(store);
  const target = new FakeTarget();
  const certificates = startCertificates({
    store,
    target,
    acme: undefined,
    logs,
    clock,
    logger: silentLogger,
    ...options.certificates,
  });
  const door = await FakeDoor.open();
  const openSessions = new OpenSessions();
  const signer = await openSigner(instance.paths.data);
  const realBuilds = await options.builds?.({ store, supervision, logs, config, clock });
  const apiOptions: ApiOptions = {
    certificates,
    config,
    store,
    supervision,
    schedules: scheduler,
    logs,
    builds: realBuilds ?? builds,
    usage,
    outbound,
    requests,
    engine: supervision,
    openSessions,
    door,
    signer,
    output: (dynoId, signal) => supervision.outputOf(dynoId, signal),
    ...instead?.parts,
    clock,
    random: systemRandom,
    logger: silentLogger,
    checkResponses: options.checkResponses ?? true,
    ...(options.callsPerHour !== undefined && { callsPerHour: options.callsPerHour }),
  };
  const api = await startApi(apiOptions);
  const url = `http://127.0.0.1:${api.port}`;
  return {
    api,
    store,
    user,
    token,
    url,
    home,
    ca: authority.certificate,
    supervision,
    logs,
    builds,
    target,
    usage,
    requests,
    door,
    openSessions,
    call: (method, path, call = {}) => request(url, token, method, path, call),
    async deployed(name, processTypes = { web: "node server.js", worker: "node worker.js" }) {
      const app = await store.apps.create({ name, ownerId: user.id, stack: "debian-12", domain: "localhost" });
      const slug = await store.slugs.create({
        appId: app.id,
        digest: "0".repeat(64),
        sizeBytes: 1000,
        processTypes,
        stack: "debian-12",
        commit: "abcdef0123456789",
        buildpackDescription: "Node.js",
        manifest: NO_MANIFEST,
      });
      const release = { appId: app.id, slugId: slug.id, description: "Deploy abcdef01", userId: user.id } as const;
      await store.releases.create({ ...release, status: "pending" });
      await supervision.settleAll(app.id);
      return (await store.apps.byId(app.id)) ?? app;
    },
    async [Symbol.asyncDispose]() {
      await api[Symbol.asyncDispose]();
      await realBuilds?.[Symbol.asyncDispose]();
      await door[Symbol.asyncDispose]();
      await instead?.[Symbol.asyncDispose]();
      await certificates[Symbol.asyncDispose]();
      await scheduler[Symbol.asyncDispose]();
      await supervision[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

/** The socket of a test's API lies in the test's own folder. */
function withRun(instance: Config["instance"], run: string): Config["instance"] {
  return { ...instance, paths: { ...instance.paths, run, daemonRun: join(run, "daemon") } };
}

async function request(url: string, token: string, method: string, path: string, call: CallOptions): Promise<Answer> {
  const credentials = call.token === null ? {} : { Authorization: `Bearer ${call.token ?? token}` };
  const response = await fetch(`${url}${path}`, {
    method,
    headers: {
      Accept: "application/vnd.heroku+json; version=3",
      ...credentials,
      ...(call.body !== undefined && { "Content-Type": "application/json" }),
      ...call.headers,
    },
    ...(call.body !== undefined && { body: typeof call.body === "string" ? call.body : JSON.stringify(call.body) }),
  });
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.includes("json") === true && text !== "";
  return { status: response.status, headers: response.headers, text, json: isJson ? JSON.parse(text) : undefined };
}

/** Dynos in memory: what should run runs at the next nudge, and every pending release succeeds. */
export class TestSupervision implements Supervision, AsyncDisposable {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #program: Program;
  readonly #running = new Map<string, { readonly input: PassThrough; readonly output: PassThrough }>();
  readonly #exits = new Map<string, PromiseWithResolvers<number | null>>();
  #work: Promise<unknown> = Promise.resolve();
  /** What was asked for, in order. */
  readonly asked: string[] = [];
  /** While true pending releases stay pending. */
  isHolding = false;
  readonly isolationRefusals: Partial<Record<Isolation, string>> = {};

  constructor(store: Store, clock: Clock, program: Program) {
    this.#store = store;
    this.#clock = clock;
    this.#program = program;
  }

  nudge(appId: string): void {
    this.#work = this.#work.then(() => this.settleAll(appId)).catch(() => {}); // the app may be gone
  }

  /** Everything that was nudged before is settled. */
  async idle(): Promise<void> {
    await this.#work;
  }

  async settleAll(appId: string): Promise<void> {
    const store = this.#store;
    for (const release of (await store.releases.list(appId)).toReversed()) {
      if (release.status !== "pending" || this.isHolding) continue;
      await store.releases.setStatus(release.id, "succeeded");
      await store.apps.update(appId, { currentReleaseId: release.id, releasedAt: this.#clock.now() });
      const slug = release.slugId === null ? undefined : await store.slugs.byId(release.slugId);
      if (slug) await store.formation.sync(appId, Object.keys(slug.processTypes));
    }
    await this.#runFormation(appId);
    for (const dyno of await store.dynos.list(appId)) {
      if (dyno.kind === "formation" || dyno.state !== "starting" || dyno.oneOff?.awaiting === true) continue;
      await store.dynos.update(dyno.id, { state: "up", launchedAt: this.#clock.now() });
      this.#start(dyno.id, dyno.command);
    }
  }

  async #runFormation(appId: string): Promise<void> {
    const store = this.#store;
    const app = await store.apps.byId(appId);
    if (!app?.currentReleaseId) return;
    for (const old of await store.dynos.list(appId)) if (old.kind === "formation") await store.dynos.remove(old.id);
    for (const { type, quantity, size } of await store.formation.list(appId)) {
      for (let n = 1; n <= quantity; n++) {
        await store.dynos.create(
          dynoRecord(
            {
              id: systemRandom.uuid(),
              appId,
              name: `${type}.${n}`,
              type,
              releaseId: app.currentReleaseId,
              size,
              command: `run ${type}`,
              port: null,
            },
            this.#clock.now(),
          ),
        );
      }
    }
  }

  #start(dynoId: string, command: string): void {
    const { input, output } = this.#streams(dynoId);
    const hungUp = () => 129; // its streams broke under it
    void this.#program({ command, input, output })
      .catch(hungUp)
      .then(async (status) => {
        await this.#store.dynos.update(dynoId, { state: "complete", exit: { at: this.#clock.now(), status } });
        output.end();
        this.#exit(dynoId).resolve(status);
      });
  }

  #streams(dynoId: string) {
    const streams = this.#running.get(dynoId) ?? { input: new PassThrough(), output: new PassThrough() };
    this.#running.set(dynoId, streams);
    return streams;
  }

  #exit(dynoId: string): PromiseWithResolvers<number | null> {
    const exit = this.#exits.get(dynoId) ?? Promise.withResolvers<number | null>();
    this.#exits.set(dynoId, exit);
    return exit;
  }

  async *outputOf(dynoId: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { output } = this.#streams(dynoId);
    signal.addEventListener("abort", () => output.destroy(), { once: true });
    try {
      for await (const chunk of output) yield chunk as Buffer; // no encoding is set
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** What was told before it was on record. */
  readonly prepared: DynoRecord[] = [];

  /** Calls that said that they may start dynos. */
  expected = 0;

  expectStart(): void {
    this.expected++;
  }

  /** What stands by. */
  standbys: string[] = [];

  async prepare(): Promise<HeadStart> {
    return {
      newId: () => this.standbys.shift() ?? randomUUID(),
      begin: (record) => void this.prepared.push(record),
    };
  }

  async input(dynoId: string): Promise<Writable> {
    return this.#streams(dynoId).input;
  }

  /** What a process inside a dyno does. */
  processes: SimProcess = async () => 0;

  async exec(dynoId: string, request: ExecRequest): Promise<ByteStream> {
    const dyno = await this.#store.dynos.byId(dynoId);
    if (dyno === undefined || dyno.exit !== null) throw new EngineError("not_found", "it does not run");
    return simProcess(this.processes, request, new AbortController().signal);
  }

  async startMarks(dynoId: string): Promise<StartMarks | null> {
    return this.#running.has(dynoId) ? { asked: 10, planned: 12, written: 15, created: 40, started: 42 } : null;
  }

  async resize(dynoId: string, rows: number, columns: number): Promise<void> {
    this.asked.push(`resize ${rows}x${columns}`);
    void dynoId;
  }

  async setEgress(appId: string, rules: readonly EgressRule[]): Promise<void> {
    this.asked.push(
      `setEgress ${appId} ${rules.map(({ action, cidr, port }) => `${action} ${cidr}:${port}`).join(", ")}`,
    );
  }

  async isolationRefusal(isolation: Isolation): Promise<string | null> {
    return this.isolationRefusals[isolation] ?? null;
  }

  async removeApp(appId: string): Promise<void> {
    this.asked.push(`removeApp ${appId}`);
  }

  async restart(appId: string, which: Which): Promise<void> {
    await this.#checked(appId, which, "restart");
  }

  async stop(appId: string, which: Which): Promise<void> {
    await this.#checked(appId, which, "stop");
  }

  async #checked(appId: string, which: Which, what: string): Promise<void> {
    const dynos = shownDynos(await this.#store.dynos.list(appId));
    const name = which.kind === "dyno" ? which.name : which.kind === "type" ? which.type : "all";
    const isThere = which.kind !== "type" || dynos.some(({ type }) => type === which.type);
    if (!isThere) throw new PlatformError("not_found", `no ${name}`, { resource: "dyno" });
    this.asked.push(`${what} ${name}`);
  }

  async settled(releaseId: string, signal: AbortSignal) {
    for (;;) {
      const release = await this.#store.releases.byId(releaseId);
      if (release && release.status !== "pending") return { status: release.status, failure: release.failure };
      await this.#clock.sleep(5, signal);
    }
  }

  async commandEnded(releaseId: string, signal: AbortSignal): Promise<void> {
    await this.settled(releaseId, signal);
  }

  async exited(dynoId: string, signal: AbortSignal): Promise<number | null> {
    return Promise.race([
      this.#exit(dynoId).promise,
      new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(new Error("aborted")))),
    ]);
  }

  async disconnect(dynoId: string): Promise<void> {
    const dyno = await this.#store.dynos.byId(dynoId);
    if (dyno?.exit === null) this.asked.push("disconnect");
  }

  async vanished(): Promise<void> {}

  /** What `health` gives. */
  healths: Readonly<Record<string, Health>> = {};

  async health(): Promise<Readonly<Record<string, Health>>> {
    return this.healths;
  }

  async nextStarts(): Promise<Readonly<Record<string, number>>> {
    return {};
  }

  /** What `idleDynos` gives. */
  asleep: readonly IdleDyno[] = [];

  async idleDynos(): Promise<readonly IdleDyno[]> {
    return this.asleep;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#work;
  }
}

/** Logs in memory. */
export class TestLogs implements AppLogs {
  readonly #lines = new Map<string, LogEntry[]>();
  readonly #listeners = new Set<() => void>();

  append(appId: string, line: LogLine): void {
    const all = this.#lines.get(appId) ?? [];
    this.#lines.set(appId, all);
    all.push({ ...line, id: all.length + 1 });
    for (const listener of this.#listeners) listener();
  }

  textOf(appId: string): readonly string[] {
    return (this.#lines.get(appId) ?? []).map((each) => `${each.source}[${each.process}]: ${each.text}`);
  }

  async history(appId: string, query: { readonly lines: number; readonly filter?: LogFilter }) {
    return this.#matching(appId, query.filter ?? {}).slice(-query.lines);
  }

  async *subscribe(appId: string, filter: LogFilter, afterId: number | undefined, signal: AbortSignal) {
    let seen = afterId ?? this.#lines.get(appId)?.length ?? 0;
    while (!signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#listeners.add(resolve);
      signal.addEventListener("abort", () => resolve(), { once: true });
      for (const entry of this.#matching(appId, filter)) {
        if (entry.id <= seen) continue;
        seen = entry.id;
        yield entry;
      }
      await promise;
      this.#listeners.delete(resolve);
    }
  }

  async removeApp(appId: string): Promise<void> {
    this.#lines.delete(appId);
  }

  #matching(appId: string, { source, process: name }: LogFilter): readonly LogEntry[] {
    return (this.#lines.get(appId) ?? []).filter(
      (each) =>
        (source === undefined || each.source === source) &&
        (name === undefined || each.process === name || each.process.startsWith(`${name}.`)),
    );
  }
}

/** Usage as a test says it is. */
export class TestUsage implements UsageReader {
  readonly dynos: Measured[] = [];

  async usagesOf(appId: string): Promise<readonly Measured[]> {
    return this.dynos.filter(({ usage }) => usage.appId === appId);
  }
}

async function collect(body: AsyncIterable<Uint8Array>, bytesMax = Number.POSITIVE_INFINITY): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw new PlatformError("payload_too_large", "too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

export class TestBuilds implements BuildRoutes {
  readonly asked: string[] = [];
  readonly #store: Store;
  /** Uploads by name. */
  readonly uploads = new Map<string, Buffer>();
  /** The names that are too old. */
  readonly stale = new Set<string>();

  constructor(store: Store) {
    this.#store = store;
  }

  readonly sources: BuildRoutes["sources"] = {
    mint: () => `upload-${this.uploads.size + 1}`,
    isFresh: (name) => !this.stale.has(name),
    receive: async (name, body) => void this.uploads.set(name, await collect(body, 8 * 1024 * 1024)),
    has: async (name) => this.uploads.has(name),
    read: (name) => Readable.from([this.uploads.get(name) ?? Buffer.alloc(0)]),
  };

  async order(...[order]: Parameters<BuildRoutes["order"]>): ReturnType<BuildRoutes["order"]> {
    const { app, user, source, upload, buildpacks } = order;
    this.asked.push(`order ${app.name} ${upload ?? source.url}`);
    const chosen = buildpacks ?? (await this.#store.buildpacks.list(app.id));
    const commit = source.version;
    return this.#store.builds.create({ appId: app.id, userId: user.id, commit, source, buildpacks: chosen });
  }

  /** What release commands said, by release. */
  readonly commandOutputs = new Map<string, string>();

  async commandOutput(releaseId: string): Promise<Readable | undefined> {
    const text = this.commandOutputs.get(releaseId);
    return text === undefined ? undefined : Readable.from([text]);
  }

  async cancel(buildId: string): Promise<void> {
    await this.#store.builds.update(buildId, { status: "failed" });
  }

  /** The apps whose builds were ended since they were destroyed. */
  readonly destroyed: string[] = [];

  appDestroyed(appId: string): void {
    this.destroyed.push(appId);
  }

  async purgeCache(app: App): Promise<void> {
    this.asked.push(`purge ${app.name}`);
  }

  async receiveSlug(...[app, upload, body]: Parameters<BuildRoutes["receiveSlug"]>) {
    const bytes = await collect(body);
    this.asked.push(`slug ${app.name} ${bytes.length}`);
    return this.#store.slugs.arrive(upload.id, {
      digest: "1".repeat(64),
      sizeBytes: bytes.length,
      manifest: NO_MANIFEST,
    });
  }

  slugArchive(slug: { readonly id: string }): Readable {
    return Readable.from([`archive of ${slug.id}`]);
  }

  async handleGit(...[request, response, { app, rest }]: Parameters<BuildRoutes["handleGit"]>): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer); // no encoding is set
    this.asked.push(`${request.method} ${app.name} ${rest} ${Buffer.concat(chunks).length}`);
    response.writeHead(200, { "Content-Type": "application/x-git-test" }).end("git");
  }

  async outputStream(): Promise<Readable | undefined> {
    return Readable.from(["-----> Building\n", "done\n"]);
  }

  async exportImage(): Promise<Readable> {
    return Readable.from(["tar"]);
  }
}
