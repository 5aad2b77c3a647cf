import type { IncomingMessage, ServerResponse } from "node:http";
import type { Readable } from "node:stream";
import type { App, User } from "../model/app.ts";
import type { BuildpackRef } from "../model/buildpack.ts";
import type { Build, BuildSource, Release, Slug, SlugUpload } from "../model/release.ts";

/** What the API asks of builds (`Builds` of `build/builds.ts` has all of it). */
export interface BuildRoutes {
  /**
   * Answers one request of git's smart HTTP on `response` itself; never rejects. The caller is known and may do this to the
   * app; the body was not read yet. `rest`: what follows `/<app>.git/`, without the query.
   */
  handleGit(
    request: IncomingMessage,
    response: ServerResponse,
    call: { readonly app: App; readonly user: User; readonly rest: string },
  ): Promise<void>;
  /** The build's output from its first byte until its end, however often it is asked for; undefined: nothing is known of it. */
  outputStream(buildId: string): Promise<Readable | undefined>;
  /** The same of the release's command, once it has begun or `signal` is aborted. */
  commandOutput(releaseId: string, signal: AbortSignal): Promise<Readable | undefined>;
  /** The release as a tar of an OCI image. Throws `invalid_params` for a release without a slug. */
  exportImage(app: App, release: Release): Promise<Readable>;
  /** Archives that clients upload to have them built. */
  readonly sources: {
    /** A name for an archive to come. */
    mint(): string;
    /** Whether it may still be uploaded and read. */
    isFresh(name: string): boolean;
    /** Resolves when it is on disk. Throws `PlatformError`. */
    receive(name: string, body: AsyncIterable<Uint8Array>): Promise<void>;
    has(name: string): Promise<boolean>;
    read(name: string): Readable;
  };
  /** Records a build of an archive, which begins when it is its turn. Throws `PlatformError`. */
  order(order: {
    readonly app: App;
    readonly user: User;
    readonly source: BuildSource;
    /** A name of `sources`; null: it is fetched from the source's URL, by a build dyno. */
    readonly upload: string | null;
    /** null: the app's. */
    readonly buildpacks: readonly BuildpackRef[] | null;
  }): Promise<Build>;
  /** Ends a build, unless a release was made of it; resolves when that is decided. */
  cancel(buildId: string, by: User): Promise<void>;
  /** Ends all builds of the app, which is in the store no more. */
  appDestroyed(appId: string): void;
  /** Empties the app's build cache. Throws `conflict` while a build uses it. */
  purgeCache(app: App): Promise<void>;
  /** Makes the slug of its archive. Throws `PlatformError`. */
  receiveSlug(app: App, upload: SlugUpload, body: AsyncIterable<Uint8Array>): Promise<Slug>;
  /** The slug as a tar.gz of `./app`. */
  slugArchive(slug: Slug): Readable;
}
