import type { BuildRequest, Go } from "../../buildkit/messages.ts";
import { parseCompiled } from "../../buildkit/messages.ts";
import { EngineError } from "../engine/engine.ts";
import { addAbortListener } from "../lib/abort.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { formatLine, type LogLine, type LogSink } from "../logs/line.ts";
import type { App, User } from "../model/app.ts";
import { type Build, RELEASE_TYPE, type Release, releaseLine, type Slug } from "../model/release.ts";
import { switchSecondsOf } from "../model/runtime.ts";
import { BUILD_SIZE } from "../model/size.ts";
import type { Store } from "../store/store.ts";
import type { SlugImages, Supervision } from "../supervisor/supervision.ts";
import { type BuildChannel, type Builder, DynoLost } from "./conversation.ts";
import type { BuildOutput, BuildOutputs } from "./output.ts";
import { findTypes } from "./process-types.ts";
import { manifestOf, megabytes, noImage, Refused, receiveSlug, refusing } from "./refused.ts";
import type { ReleaseOutputs } from "./release-output.ts";
import type { SlugFiles } from "./slugs.ts";

/** From the order to build to the stored slug (spec 9.2). */
export const BUILD_MS = 15 * 60_000;
export const LIMITS: Go["limits"] = { treeBytes: 1024 ** 3, files: 500_000, diskMb: BUILD_SIZE.diskMb };
/** Lines of the app's log that a failed rollout shows to the pusher. */
const HISTORY_LINES = 20;

export interface DeploymentParts {
  readonly store: Store;
  readonly supervision: Pick<Supervision, "settled" | "commandEnded" | "nudge">;
  readonly logs: LogSink;
  readonly outputs: BuildOutputs;
  readonly commands: Pick<ReleaseOutputs, "stream">;
  readonly slugs: SlugFiles;
  readonly images: SlugImages;
  /** Where the app is reached, with the port. */
  readonly urlOf: (app: App) => string;
  /** Where people find the output of a build. */
  readonly outputUrlOf: (app: App, buildId: string) => string;
  /** Builds under way, by id: for those who want to end one. */
  readonly running: Map<string, Deployment>;
  readonly history: (appId: string) => Promise<readonly LogLine[]>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A build that was ordered with an archive: it is on record already, and so is its output. */
export interface Ordered {
  readonly build: Build;
  readonly output: BuildOutput;
}

const destroyed = ({ name }: App): Refused => new Refused(`${name} was destroyed.`, "Push failed");

/**
 * One push, or one archive: build, slug, release, rollout. Its answer decides whether the pushed ref moves: only when the
 * release is up. Until the release is made, everything ends with the pusher's connection; from then on it goes to its end.
 */
export class Deployment implements Builder {
  readonly #parts: DeploymentParts;
  readonly #app: App;
  readonly #user: User;
  readonly #stopping: AbortSignal;
  readonly #ordered: Ordered | undefined;
  readonly #cancelled = new AbortController();
  #output: BuildOutput | undefined;
  readonly #decided = Promise.withResolvers<void>();
  #begun = false;
  #released = false;

  constructor(parts: DeploymentParts, app: App, user: User, stopping: AbortSignal, ordered?: Ordered) {
    this.#parts = parts;
    this.#app = app;
    this.#user = user;
    this.#stopping = stopping;
    this.#ordered = ordered;
  }

  get appId(): string {
    return this.#app.id;
  }

  /** Whether the build dyno has asked for it; from then on it tells its own end. */
  get begun(): boolean {
    return this.#begun;
  }

  /** Aborted, with a `Refused`, when somebody has ended the build. */
  get cancelled(): AbortSignal {
    return this.#cancelled.signal;
  }

  /** Resolves when it is known whether a release is made of it. */
  get decided(): Promise<void> {
    return this.#decided.promise;
  }

  /** It was not begun, and will not be. */
  abandon(): void {
    this.#decided.resolve();
  }

  /** Ends the build, if no release was made of it yet. */
  cancel(by: User): void {
    this.#cancelled.abort(new Refused(`Build canceled by user ${by.email}`, "Push failed"));
  }

  /** The app has been destroyed: so is its build. */
  appDestroyed(): void {
    this.#cancelled.abort(destroyed(this.#app));
  }

  /** Whether there is a release that waits to come up. */
  get released(): boolean {
    return this.#released;
  }

  text(bytes: Buffer): void {
    this.#output?.append(bytes);
  }

  async build({ commit }: BuildRequest, channel: BuildChannel): Promise<boolean> {
    const say = async (text: string): Promise<void> => {
      this.#output?.append(text);
      await channel.say(text);
    };
    this.#begun = true;
    let build = this.#ordered?.build;
    try {
      build ??= await this.#record(commit);
      this.#output = this.#ordered?.output ?? (await this.#parts.outputs.create(build.id));
      this.#log(`Build started by user ${this.#user.email}`);
      this.#parts.running.set(build.id, this);
      using _cancel = addAbortListener(this.cancelled, () => channel.fail(this.cancelled.reason));
      const slug = await this.#buildSlug(build, channel, say);
      return slug !== undefined && (await this.#release(build, slug, channel, say));
    } catch (error) {
      if (error instanceof Refused) await say(wordsOf(error));
      else if (error instanceof DynoLost || this.#stopping.aborted) return false;
      else if ((await this.#parts.store.apps.byId(this.#app.id)) === undefined) {
        await say(wordsOf(destroyed(this.#app)));
      } else {
        this.#parts.logger.error("build.failed", { app: this.#app.id, error });
        await say(
          " !     Something went wrong inside the platform; its operator finds the reason in its log.\n !     Push failed\n",
        );
      }
      return false;
    } finally {
      if (build) await this.#close(build.id);
    }
  }

  async #record(commit: string | null): Promise<Build> {
    const { store } = this.#parts;
    const buildpacks = await store.buildpacks.list(this.#app.id);
    return store.builds.create({ appId: this.#app.id, userId: this.#user.id, commit, buildpacks });
  }

  /** Whatever became of it: it is not pending any more. */
  async #close(buildId: string): Promise<void> {
    const { store, running } = this.#parts;
    running.delete(buildId);
    const isPending = (await store.builds.byId(buildId))?.status === "pending";
    if (isPending) await store.builds.update(buildId, { status: "failed" });
    this.#decided.resolve();
    await this.#output?.close();
  }

  /** undefined: the build failed, and the pusher knows why. */
  async #buildSlug(build: Build, channel: BuildChannel, say: Say): Promise<Slug | undefined> {
    const { store, clock } = this.#parts;
    const done = new AbortController();
    const late = clock.sleep(BUILD_MS, done.signal).then(
      () => channel.fail(new Refused(`The build took longer than ${BUILD_MS / 60_000} minutes.`, "Push failed")),
      () => {},
    );
    try {
      const slug = await this.#makeSlug(build, channel, say);
      this.#log("Build succeeded");
      return slug;
    } catch (error) {
      await store.builds.update(build.id, { status: "failed" });
      this.#log(`Build failed -- check your build output: ${this.#parts.outputUrlOf(this.#app, build.id)}`);
      if (!(error instanceof Refused)) throw error;
      await say(wordsOf(error));
      return undefined;
    } finally {
      done.abort();
      await late;
    }
  }

  async #makeSlug(build: Build, channel: BuildChannel, say: Say): Promise<Slug> {
    const { store, images, logger } = this.#parts;
    const app = this.#app;
    await channel.send("go", {
      stack: app.stack,
      configVars: await store.config.get(app.id),
      buildpacks: (build.buildpacks ?? []).map(({ url }) => url),
      limits: LIMITS,
    } satisfies Go);
    const frame = await channel.take();
    if (frame.kind === "failed") throw new Refused(); // the driver has said why
    const compiled = parseCompiled(frame);
    const { types, lines } = refusing(() => findTypes(compiled.procfile, compiled.release));
    const manifest = manifestOf(compiled.appJson, Object.keys(types));
    await say(
      `-----> Discovering process types\n${lines.map((line) => `       ${line}\n`).join("")}-----> Compressing...\n`,
    );
    const stored = await receiveSlug(this.#parts.slugs, channel);
    await say(`       Done: ${megabytes(stored.sizeBytes)}\n`);
    const slug = await store.slugs.create({
      appId: app.id,
      digest: stored.digest,
      sizeBytes: stored.sizeBytes,
      processTypes: types,
      stack: app.stack,
      commit: build.commit,
      buildpackDescription: compiled.buildpack,
      manifest,
    });
    // Not for longer than the pusher waits, and the build may take: the next push must not find this one still under way.
    await channel.unlessFailed(images.ensure(slug.id, app.uidIndex)).catch((error: unknown) => {
      if (!(error instanceof EngineError)) throw error;
      logger.warn("build.no-image", { app: app.id, error });
      throw noImage(error);
    });
    channel.throwIfFailed(); // the pusher left, or it took too long
    return slug;
  }

  /** Whether the release came up. */
  async #release(build: Build, slug: Slug, channel: BuildChannel, say: Say): Promise<boolean> {
    const { store, supervision, urlOf } = this.#parts;
    const isFirst = (await store.formation.list(this.#app.id)).every(({ type }) => type === RELEASE_TYPE);
    channel.throwIfFailed();
    this.#released = true;
    const release = await this.#makeRelease(build, slug);
    supervision.nudge(this.#app.id);
    const app = (await store.apps.byId(this.#app.id)) ?? this.#app;
    const wait =
      app.rollout === "preboot" && !isFirst
        ? `       Preboot: requests move to the new web dynos in ${switchSecondsOf(app)} s\n`
        : "";
    const declared = release.phase === null ? "" : COMMAND_DECLARED;
    await say(
      `-----> Launching...\n${declared}       Released v${release.version}\n       ${urlOf(app)} deployed to Stator\n${wait}\n`,
    );
    if (release.phase !== null && !(await this.#showCommand(release, say))) return false;
    await say("Verifying deploy... ");
    const said: Promise<void>[] = [];
    const outcome = await supervision.settled(release.id, this.#stopping, (name) =>
      said.push(
        say(`${said.length === 0 ? "\n" : ""}       No room for old and new side by side: ${name} was stopped first\n`),
      ),
    );
    await Promise.all(said);
    if (outcome.status === "succeeded") {
      if (isFirst) await this.#logFormation();
      await say("done.\n");
      return true;
    }
    await say(`failed.\n${await this.#whyFailed(release, outcome)}`);
    return false;
  }

  /** What the release's command says, as it comes (spec 5.3). Whether it did what it should. */
  async #showCommand({ id, version }: Release, say: Say): Promise<boolean> {
    const { store, supervision, commands } = this.#parts;
    await say("Running release command...\n\n");
    const over = new AbortController();
    const ended = supervision.commandEnded(id, this.#stopping).finally(() => over.abort());
    ended.catch(() => {}); // awaited below
    const output = await commands.stream(id, over.signal);
    using _stopping = addAbortListener(this.#stopping, () => output?.destroy()); // the command may go on for an hour
    for await (const lines of output ?? []) await say(String(lines));
    await ended;
    const release = await store.releases.byId(id);
    if (release?.phase === "done" && release.status !== "expired") {
      await say("\nWaiting for release.... done.\n\n");
      return true;
    }
    const why = reasonOf({ status: release?.status ?? "expired", failure: release?.failure ?? null });
    await say(
      `\nWaiting for release.... failed.\n !     Release v${version} failed: ${why}.\n !     What ran before keeps running.\n !     Push failed\n`,
    );
    return false;
  }

  async #makeRelease(build: Build, slug: Slug): Promise<Release> {
    const { store, clock } = this.#parts;
    const description = `Deploy ${(slug.commit ?? build.id).slice(0, 8)}`;
    const release = await store.transaction(async (all) => {
      const made = await all.releases.create({
        appId: this.#app.id,
        slugId: slug.id,
        description,
        userId: this.#user.id,
        status: "pending",
        withCommand: true,
      });
      const { buildpackDescription } = slug;
      const releaseId = made.id;
      await all.builds.update(build.id, { status: "succeeded", slugId: slug.id, buildpackDescription, releaseId });
      return made;
    });
    this.#decided.resolve();
    const at = clock.now(); // both lines carry the same time (spec 8.2)
    this.#log(`${description} by user ${this.#user.email}`, at);
    this.#log(`${releaseLine(release)} by user ${this.#user.email}`, at);
    return release;
  }

  /** Spec 5.1: the first deploy scales web to 1 and says so. */
  async #logFormation(): Promise<void> {
    const rows = [...(await this.#parts.store.formation.list(this.#app.id))].sort((a, b) => (a.type < b.type ? -1 : 1));
    if (rows.length === 0) return;
    const scaled = rows.map(({ type, quantity, size }) => `${type}@${quantity}:${size}`).join(" ");
    this.#log(`Scaled to ${scaled} by user ${this.#user.email}`);
  }

  async #whyFailed(
    release: Release,
    outcome: { readonly status: string; readonly failure: string | null },
  ): Promise<string> {
    const app = await this.#parts.store.apps.byId(this.#app.id);
    const lines = (await this.#parts.history(this.#app.id)).slice(-HISTORY_LINES);
    return [
      ` !     Release v${release.version} failed: ${reasonOf(outcome)}.`,
      ` !     What ran before ${app?.rollout === "stop-start" ? "is started again" : "keeps running"}. The last lines of the app's log:`,
      ...lines.map((line) => `         ${formatLine(line)}`),
      " !     Push failed",
      "",
    ].join("\n");
  }

  #log(text: string, at = this.#parts.clock.now()): void {
    this.#parts.logs.append(this.#app.id, { at, source: "app", process: "api", text });
  }
}

const COMMAND_DECLARED =
  " !     Release command declared: this new release will not be available until the command succeeds.\n";

function reasonOf({ status, failure }: { readonly status: string; readonly failure: string | null }): string {
  return status === "expired" ? "a newer release took over first" : (failure ?? "its dynos did not come up");
}

type Say = (text: string) => Promise<void>;

function wordsOf({ lines }: Refused): string {
  return lines.map((line) => ` !     ${line}\n`).join("");
}
