import { Readable } from "node:stream";
import type { ArchiveJob, PurgeJob } from "../../buildkit/messages.ts";
import { addAbortListener } from "../lib/abort.ts";
import type { Clock } from "../lib/clock.ts";
import type { App, User } from "../model/app.ts";
import type { BuildpackRef } from "../model/buildpack.ts";
import { PlatformError } from "../model/errors.ts";
import type { Build, BuildSource, Slug, SlugUpload } from "../model/release.ts";
import { type BuildDyno, type BuildDynos, Busy } from "./build-dyno.ts";
import { converse } from "./conversation.ts";
import { Deployment, type DeploymentParts } from "./deployment.ts";
import { reason } from "./reason.ts";
import { Refused } from "./refused.ts";
import { SlugReception } from "./slug-reception.ts";
import type { SourceFiles } from "./sources.ts";
import type { Turn, Turns } from "./turns.ts";

export interface ArchiveOrder {
  readonly app: App;
  readonly user: User;
  readonly source: BuildSource;
  /** The archive that was uploaded here; null: it is fetched from the source's URL. */
  readonly upload: string | null;
  /** For this build alone; null: the app's. */
  readonly buildpacks: readonly BuildpackRef[] | null;
}

export interface ArchiveParts {
  readonly dynos: BuildDynos;
  readonly turns: Turns;
  readonly sources: SourceFiles;
  readonly deployment: DeploymentParts;
  readonly clock: Clock;
}

/** Builds of one app that wait for the one which runs. */
export const WAITING_MAX = 20;
/** How long a build waits for a place among the build dynos. */
const PLACE_MS = 15 * 60_000;
const RETRY_MS = 1000;
/** From an archive's arrival to its slug. */
const SLUG_MS = 10 * 60_000;

/** What is made of archives: builds that were ordered through the API, slugs that were built elsewhere. */
export class Archives {
  readonly #parts: ArchiveParts;
  readonly #stopping = new AbortController();
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(parts: ArchiveParts) {
    this.#parts = parts;
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("the platform stops"));
    await Promise.allSettled(this.#underWay);
  }

  /** Records the build and begins it when it is its turn. Throws `PlatformError`. */
  async order({ app, user, source, upload, buildpacks }: ArchiveOrder): Promise<Build> {
    const { deployment: parts, turns, sources } = this.#parts;
    this.#stopping.signal.throwIfAborted();
    if (turns.waiting(app.id) >= WAITING_MAX)
      throw new PlatformError("rate_limit", `${WAITING_MAX} builds of ${app.name} wait already; try again later.`);
    if (upload !== null && !(await sources.has(upload)))
      throw new PlatformError("invalid_params", "Nothing was uploaded to that source's put_url.");
    const { store, outputs, running } = parts;
    const build = await store.builds.create({
      appId: app.id,
      userId: user.id,
      commit: source.version,
      source,
      buildpacks: buildpacks ?? (await store.buildpacks.list(app.id)),
    });
    const output = await outputs.create(build.id);
    const deployment = new Deployment(parts, app, user, this.#stopping.signal, { build, output });
    running.set(build.id, deployment);
    const job: ArchiveJob = { service: "source", url: upload === null ? source.url : null, ...namesOf(source) };
    const input = upload === null ? empty : () => sources.read(upload);
    const work = this.#run(app, deployment, job, input).then((why) => this.#end(build.id, deployment, output, why));
    void this.#follow(work).catch((error: unknown) => parts.logger.error("build.failed", { app: app.id, error }));
    return build;
  }

  /** Gives why it was not begun; undefined: it was, and has told its end. */
  async #run(
    app: App,
    deployment: Deployment,
    job: ArchiveJob,
    input: () => AsyncIterable<Uint8Array>,
  ): Promise<readonly string[] | undefined> {
    const { turns, deployment: parts } = this.#parts;
    const signal = AbortSignal.any([this.#stopping.signal, deployment.cancelled]);
    let turn: Turn | undefined;
    try {
      turn = await turns.take(app.id, signal);
      if (!(await parts.store.apps.byId(app.id))) throw new Refused("The app was destroyed.");
      await using dyno = await this.#start(app, signal);
      using _end = addAbortListener(signal, () => deployment.begun || dyno.close());
      using _stop = addAbortListener(this.#stopping.signal, () => dyno.close());
      await converse({ dyno, job, input: input(), output: async () => {}, builder: deployment });
      // Who reads the end of the output may build again at once, while the dyno is still being taken apart.
      turn[Symbol.dispose]();
    } catch (error) {
      if (deployment.begun) return undefined;
      const why: unknown = deployment.cancelled.aborted ? deployment.cancelled.reason : error;
      if (why instanceof Refused) return why.lines;
      if (!this.#stopping.signal.aborted) parts.logger.warn("build.not-begun", { app: app.id, error });
      return [reason(error, "this build"), "Push failed"];
    } finally {
      turn?.[Symbol.dispose]();
    }
    return undefined;
  }

  async #end(
    buildId: string,
    deployment: Deployment,
    output: { append(text: string): void; close(): Promise<void> },
    why: readonly string[] | undefined,
  ): Promise<void> {
    if (why === undefined || deployment.begun) return;
    const { store, running } = this.#parts.deployment;
    running.delete(buildId);
    if (await store.builds.byId(buildId)) await store.builds.update(buildId, { status: "failed" });
    deployment.abandon();
    output.append(why.map((line) => ` !     ${line}\n`).join(""));
    await output.close();
  }

  /** Waits while all places are taken. */
  async #start(app: App, signal: AbortSignal): Promise<BuildDyno> {
    const { dynos, clock } = this.#parts;
    const until = clock.now() + PLACE_MS;
    for (;;) {
      try {
        return await dynos.start(app, signal);
      } catch (error) {
        if (!(error instanceof Busy) || clock.now() > until) throw error;
        await clock.sleep(RETRY_MS, signal);
      }
    }
  }

  /** Makes the slug of the archive that its sender has uploaded. Throws `PlatformError`. */
  async receiveSlug(app: App, upload: SlugUpload, body: AsyncIterable<Uint8Array>): Promise<Slug> {
    const { sources } = this.#parts;
    const name = sources.mint();
    try {
      await sources.receive(name, body);
      const sha256 = upload.checksum === null ? null : upload.checksum.slice("SHA256:".length).toLowerCase();
      const job: ArchiveJob = { service: "slug", url: null, sha256, version: upload.commit };
      const reception = new SlugReception(this.#parts.deployment.slugs, upload);
      const refuse = () => new PlatformError("service_unavailable", "The slug was not unpacked in time.");
      await this.#use(app, job, sources.read(name), reception, refuse);
      return await this.#parts.deployment.store.slugs.arrive(upload.id, reception.result());
    } finally {
      await sources.remove(name);
    }
  }

  /** Empties the app's build cache. Throws `conflict` while a build uses it. */
  async purgeCache(app: App): Promise<void> {
    using turn = this.#parts.turns.tryTake(app.id);
    if (!turn)
      throw new PlatformError("conflict", `A build of ${app.name} uses the cache; try again when it has ended.`);
    const refuse = () => new PlatformError("service_unavailable", "The cache could not be emptied in time.");
    await this.#use(app, { service: "purge-cache" }, Readable.from([]), undefined, refuse);
  }

  /** One job of a build dyno that somebody waits for. Throws `PlatformError`. */
  async #use(
    app: App,
    job: ArchiveJob | PurgeJob,
    input: Readable,
    builder: SlugReception | undefined,
    tooLate: () => PlatformError,
  ): Promise<void> {
    const { dynos, clock, deployment } = this.#parts;
    const late = new AbortController();
    const signal = AbortSignal.any([this.#stopping.signal, late.signal]);
    void clock.sleep(SLUG_MS, signal).then(
      () => late.abort(tooLate()),
      () => {},
    );
    const work = async (): Promise<void> => {
      await using dyno = await dynos.start(app, signal);
      using _late = addAbortListener(signal, () => dyno.close());
      await converse({ dyno, job, input, output: async () => {}, builder });
    };
    try {
      await this.#follow(work());
    } catch (error) {
      if (late.signal.reason instanceof PlatformError) throw late.signal.reason;
      deployment.logger.warn("archive.failed", { app: app.id, service: job.service, error });
      throw new PlatformError("service_unavailable", reason(error, "what this needs"), { cause: error });
    } finally {
      late.abort();
      input.destroy();
    }
  }

  #follow<T>(work: Promise<T>): Promise<T> {
    const ended: Promise<unknown> = work.catch(() => {}).finally(() => this.#underWay.delete(ended));
    this.#underWay.add(ended);
    return work;
  }
}

async function* empty(): AsyncGenerator<Uint8Array> {}

function namesOf({ checksum, version }: BuildSource): Pick<ArchiveJob, "sha256" | "version"> {
  return { sha256: checksum === null ? null : checksum.slice("SHA256:".length).toLowerCase(), version };
}
