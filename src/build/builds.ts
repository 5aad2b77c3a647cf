import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import type { Readable } from "node:stream";
import type { Config } from "../config.ts";
import type { Engine } from "../engine/engine.ts";
import { addAbortListener } from "../lib/abort.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Random } from "../lib/random.ts";
import type { DynoLogs } from "../logs/dyno-logs.ts";
import type { LogLine, LogSink } from "../logs/line.ts";
import type { App, User } from "../model/app.ts";
import type { Build, Release, Slug, SlugUpload } from "../model/release.ts";
import type { Store } from "../store/store.ts";
import type { SlugImages, Supervision } from "../supervisor/supervision.ts";
import { type ArchiveOrder, Archives } from "./archives.ts";
import { BuildDynos } from "./build-dyno.ts";
import { converse } from "./conversation.ts";
import { Deployment, type DeploymentParts } from "./deployment.ts";
import { exportImage, slugArchive } from "./export.ts";
import { advertisementPrefix, bodyOf, errorMessage, type GitRequest, parseGitRequest } from "./git-http.ts";
import { BuildOutputs } from "./output.ts";
import { reason } from "./reason.ts";
import type { ReleaseOutputs } from "./release-output.ts";
import { readBuildSettings } from "./settings.ts";
import { SlugFiles, slugImages } from "./slugs.ts";
import { SourceFiles } from "./sources.ts";
import { type Turn, Turns } from "./turns.ts";

export interface BuildsOptions {
  readonly store: Store;
  readonly engine: Engine;
  readonly supervision: Pick<Supervision, "settled" | "commandEnded" | "nudge">;
  readonly logs: LogSink;
  /** What release commands say. */
  readonly commands: Pick<ReleaseOutputs, "stream">;
  /** For the last words of a build dyno that failed to start. */
  readonly dynoLogs?: DynoLogs;
  readonly config: Config;
  /** The newest lines of an app's log, oldest first. */
  readonly history: (appId: string) => Promise<readonly LogLine[]>;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

export interface GitCall {
  readonly app: App;
  readonly user: User;
  /** What follows `/<app>.git/`. */
  readonly rest: string;
}

/** Pushes, slugs and what is made of them. */
export interface Builds extends SlugImages, AsyncDisposable {
  /** Answers one request of git's smart HTTP protocol; the caller has authenticated it. Never rejects. */
  handleGit(request: IncomingMessage, response: ServerResponse, call: GitCall): Promise<void>;
  /** All that a build said and, while it runs, will say; undefined: nothing is known of it (yet). */
  outputStream(buildId: string): Promise<Readable | undefined>;
  /** All that a release's command said and will say; waits until it has begun, or `signal`. undefined: nothing is known of it. */
  commandOutput(releaseId: string, signal: AbortSignal): Promise<Readable | undefined>;
  /** The release as a standard OCI image, in a tar. Throws `invalid_params` for a release without a slug. */
  exportImage(app: App, release: Release): Promise<Readable>;
  /** Archives that clients upload. */
  readonly sources: Pick<SourceFiles, "mint" | "isFresh" | "receive" | "has" | "read">;
  /** Records a build of an archive, which begins when it is its turn. Throws `PlatformError`. */
  order(order: ArchiveOrder): Promise<Build>;
  /** Ends a build, unless a release was made of it; resolves when it is decided. */
  cancel(buildId: string, by: User): Promise<void>;
  /** Ends all builds of an app that is in the store no more. */
  appDestroyed(appId: string): void;
  /** Empties the app's build cache. Throws `conflict` while a build uses it. */
  purgeCache(app: App): Promise<void>;
  /** Makes a slug of what was built elsewhere. Throws `PlatformError`. */
  receiveSlug(app: App, upload: SlugUpload, body: AsyncIterable<Uint8Array>): Promise<Slug>;
  /** The slug as Heroku's are: a tar.gz of `./app`. */
  slugArchive(slug: Slug): Readable;
  /** Build dynos that are in use; the supervisor may remove any other. */
  activeBuildDynos(): ReadonlySet<string>;
}

/** One git request may take this long, the build and its rollout included; a release that is on its way then goes on alone. */
const REQUEST_MS = 60 * 60_000;

/** Also cleans up after a daemon that was killed: its build dynos, half-received slugs and pending builds. */
export async function openBuilds(options: BuildsOptions): Promise<Builds> {
  const { store, engine, config, clock, logger } = options;
  const { paths, home } = config.instance;
  await mkdir(paths.data, { recursive: true, mode: 0o700 });
  const slugs = await SlugFiles.open(join(paths.data, "slugs"));
  const outputs = await BuildOutputs.open(join(paths.data, "builds"));
  for (const build of await store.builds.listPending()) await store.builds.update(build.id, { status: "failed" });
  const dynos = new BuildDynos({
    engine,
    settings: () => readBuildSettings(home),
    dynoLogs: options.dynoLogs,
    clock,
    random: options.random,
    logger,
  });
  // The host process may be away for a moment; the supervisor removes what this does not.
  await dynos.removeRemains().catch((error: unknown) => logger.warn("builds.remains", { error }));
  const images = slugImages(store, engine, slugs, clock);
  const sources = await SourceFiles.open(join(paths.data, "sources"), clock, options.random);
  const turns = new Turns();
  const parts: DeploymentParts = {
    store,
    supervision: options.supervision,
    logs: options.logs,
    outputs,
    commands: options.commands,
    slugs,
    images,
    urlOf: (app) => `http://${app.name}.${config.domain}${config.httpPort === 80 ? "" : `:${config.httpPort}`}/`,
    outputUrlOf: (app, buildId) => `http://127.0.0.1:${config.apiPort}/apps/${app.id}/builds/${buildId}/output`,
    running: new Map(),
    history: options.history,
    clock,
    logger,
  };
  const git = new GitRequests(dynos, parts, turns);
  const archives = new Archives({ dynos, turns, sources, deployment: parts, clock });
  const sweeping = new AbortController();
  const swept = sweep(sources, clock, logger, sweeping.signal);
  return {
    ensure: (slugId, uidIndex) => images.ensure(slugId, uidIndex),
    handleGit: (request, response, call) => git.handle(request, response, call),
    outputStream: (buildId) => outputs.stream(buildId),
    commandOutput: (releaseId, signal) => options.commands.stream(releaseId, signal),
    exportImage: (app, release) => exportImage({ app, release, store, slugs, stackTar: join(paths.host, "stacks") }),
    activeBuildDynos: () => dynos.active,
    sources,
    order: (order) => archives.order(order),
    cancel: (buildId, by) => cancel(parts, buildId, by),
    appDestroyed: (appId) => {
      for (const deployment of parts.running.values()) if (deployment.appId === appId) deployment.appDestroyed();
    },
    purgeCache: (app) => archives.purgeCache(app),
    receiveSlug: (app, upload, body) => archives.receiveSlug(app, upload, body),
    slugArchive: (slug) => slugArchive(slugs, slug.digest),
    async [Symbol.asyncDispose]() {
      sweeping.abort();
      await Promise.all([git.stop(), archives.stop(), swept]);
    },
  };
}

const SWEEP_MS = 10 * 60_000;

/** Uploads that nobody built go. */
async function sweep(sources: SourceFiles, clock: Clock, logger: Logger, until: AbortSignal): Promise<void> {
  for (;;) {
    await clock.sleep(SWEEP_MS, until).catch(() => {}); // looked at below
    if (until.aborted) return;
    await sources.sweep().catch((error: unknown) => logger.warn("sources.sweep", { error }));
  }
}

async function cancel({ running }: DeploymentParts, buildId: string, by: User): Promise<void> {
  const deployment = running.get(buildId);
  deployment?.cancel(by);
  await deployment?.decided;
}

/** Git requests under way. */
class GitRequests {
  readonly #dynos: BuildDynos;
  readonly #parts: DeploymentParts;
  readonly #stopping = new AbortController();
  /** One build of an app at a time. */
  readonly #turns: Turns;
  readonly #underWay = new Set<Promise<void>>();

  constructor(dynos: BuildDynos, parts: DeploymentParts, turns: Turns) {
    this.#dynos = dynos;
    this.#parts = parts;
    this.#turns = turns;
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("the platform stops"));
    await Promise.all(this.#underWay);
  }

  handle(request: IncomingMessage, response: ServerResponse, call: GitCall): Promise<void> {
    const handling = this.#handle(request, response, call)
      .catch((error: unknown) => {
        this.#parts.logger.error("git.failed", { app: call.app.id, error });
        response.destroy();
      })
      .finally(() => this.#underWay.delete(handling));
    this.#underWay.add(handling);
    return handling;
  }

  async #handle(request: IncomingMessage, response: ServerResponse, call: GitCall): Promise<void> {
    const parsed = parseGitRequest(request, call.rest);
    if (parsed.kind === "refuse") return answerText(response, parsed.status, parsed.text);
    if (parsed.kind === "probe") return answer(response, parsed.contentType, "");
    const isPush = parsed.job.service === "git-receive-pack";
    if (!isPush) return this.#runGit(request, response, call, parsed);
    const { app } = call;
    const turn = parsed.job.advertise ? undefined : this.#turns.tryTake(app.id);
    if (turn === undefined && this.#turns.isTaken(app.id)) {
      return answer(
        response,
        parsed.contentType,
        errorMessage(parsed.job, `Another push to ${app.name} is being built; try again when it has ended.`),
      );
    }
    using _turn = turn;
    await this.#runGit(request, response, call, parsed, turn);
  }

  async #runGit(
    request: IncomingMessage,
    response: ServerResponse,
    { app, user }: GitCall,
    parsed: GitRequest & { readonly kind: "git" },
    turn?: Turn,
  ): Promise<void> {
    const { job, contentType } = parsed;
    const gone = goneSignal(response, this.#stopping.signal);
    const isBuilding = job.service === "git-receive-pack" && !job.advertise;
    const overdue = new AbortController();
    const until = AbortSignal.any([this.#stopping.signal, overdue.signal]);
    const deployment = isBuilding ? new Deployment(this.#parts, app, user, until) : undefined;
    let begun = false;
    const output = async (bytes: Buffer | string): Promise<void> => {
      if (!begun) begin(response, contentType);
      begun = true;
      if (!response.destroyed && !response.write(bytes))
        await Promise.race([once(response, "drain"), once(response, "close")]);
    };
    const done = new AbortController();
    try {
      await using dyno = await this.#dynos.start(app, gone);
      // Nobody waits for it any more: end it, unless a release is on its way, which goes to its end.
      using _gone = addAbortListener(gone, () => deployment?.released === true || dyno.close());
      using _stop = addAbortListener(this.#stopping.signal, () => dyno.close());
      void this.#parts.clock.sleep(REQUEST_MS, done.signal).then(
        () => {
          overdue.abort(new Error("the request took too long"));
          dyno.close();
          response.destroy(); // it may be the client that neither sends nor reads
        },
        () => {},
      );
      if (job.advertise) await output(advertisementPrefix(job));
      const { repositoryBytes } = await converse({
        dyno,
        job,
        input: isAdvertisement(job) ? empty() : bodyOf(request),
        output,
        builder: deployment,
      });
      if (repositoryBytes !== null) await this.#parts.store.apps.setRepoBytes(app.id, repositoryBytes);
      // Who reads the end of the answer may push again at once, while the dyno is still being taken apart.
      turn?.[Symbol.dispose]();
      response.end();
    } catch (error) {
      if (response.destroyed) return; // who asked is gone
      if (begun && !job.advertise) return void response.destroy(); // git sees a cut answer and says so
      this.#parts.logger.warn("git.unanswered", { app: app.id, service: job.service, error });
      const text = errorMessage(job, reason(error, "git for this repository"));
      if (begun) response.end(text.subarray(advertisementPrefix(job).length));
      else answer(response, contentType, text);
    } finally {
      done.abort();
    }
  }
}

function isAdvertisement(job: { readonly advertise: boolean }): boolean {
  return job.advertise;
}

async function* empty(): AsyncGenerator<Uint8Array> {}

/** Aborted when the client has gone before its answer was complete, or the platform stops. */
function goneSignal(response: ServerResponse, stopping: AbortSignal): AbortSignal {
  const gone = new AbortController();
  response.once("close", () => response.writableFinished || gone.abort(new Error("the client is gone")));
  if (response.destroyed) gone.abort(new Error("the client is gone"));
  return AbortSignal.any([gone.signal, stopping]);
}

function begin(response: ServerResponse, contentType: string): void {
  response.writeHead(200, {
    "Content-Type": contentType,
    "Cache-Control": "no-cache, max-age=0, must-revalidate",
    Expires: "Fri, 01 Jan 1980 00:00:00 GMT",
    Pragma: "no-cache",
  });
}

function answer(response: ServerResponse, contentType: string, body: Buffer | string): void {
  begin(response, contentType);
  response.end(body);
}

function answerText(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { "Content-Type": "text/plain; charset=utf-8" });
  response.end(`${text}\n`);
}
