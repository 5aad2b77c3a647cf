import type { IncomingMessage, ServerResponse } from "node:http";
import type { Readable } from "node:stream";
import type { App, User } from "../model/app.ts";
import type { Release } from "../model/release.ts";

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
  /** The release as a tar of an OCI image. Throws `invalid_params` for a release without a slug. */
  exportImage(app: App, release: Release): Promise<Readable>;
}
