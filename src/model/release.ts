import type { Instant } from "../lib/clock.ts";
import type { AppManifest } from "./app-manifest.ts";
import type { BuildpackRef } from "./buildpack.ts";
import type { Isolation } from "./isolation.ts";

/** Names to values, in the order given. */
export type ConfigVars = Readonly<Record<string, string>>;

/** Immutable pair of slug and config vars, `v12` (spec 9.6). Only its status changes. */
export interface Release {
  readonly id: string;
  readonly appId: string;
  readonly version: number;
  readonly description: string;
  readonly status: ReleaseStatus;
  /** Why it failed, in a sentence; null unless failed. */
  readonly failure: string | null;
  /** Where its release command stands; null: it has none to run. */
  readonly phase: ReleasePhase | null;
  readonly slugId: string | null;
  /** The app's when it was made: so a release that does not come up leaves the old dynos as they were. */
  readonly isolation: Isolation;
  readonly userId: string;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
}

/** pending: its command runs, or its dynos are coming up next to those of the current release. expired: a newer one took over first. */
export type ReleaseStatus = "pending" | "succeeded" | "failed" | "expired";

/**
 * The release phase (spec 5.3): a command that runs once, in a dyno of its own, before any dyno of the release starts.
 * waiting: it was not begun. running: its dyno is on record, and no other will ever be. done: it exited with status 0.
 */
export type ReleasePhase = "waiting" | "running" | "done";

/** The process type whose command is the release phase; it is never part of what runs (spec 5.1). */
export const RELEASE_TYPE = "release";

/** What the app's log says of a new release, without who made it (spec 5.3, 8.2). */
export function releaseLine({ version, phase }: Pick<Release, "version" | "phase">): string {
  return phase === null ? `Release v${version} created` : `Running release v${version} commands`;
}

export interface Slug {
  readonly id: string;
  readonly appId: string;
  /** Hex SHA-256 of the uncompressed tar of the tree; names the tree, not an image of it. */
  readonly digest: string;
  /** Bytes of the compressed tar. */
  readonly sizeBytes: number;
  /** Process type to command, in the order of the Procfile. */
  readonly processTypes: Readonly<Record<string, string>>;
  readonly stack: string;
  readonly commit: string | null;
  readonly commitDescription: string | null;
  readonly buildpackDescription: string | null;
  /** `SHA256:<hex>` of the archive that it was uploaded as, if its sender said so; null of what was built here. */
  readonly checksum: string | null;
  /** What its `app.json` asks of the platform. */
  readonly manifest: AppManifest;
  readonly createdAt: Instant;
}

/** A slug that was announced, and whose archive has not come yet. */
export type SlugUpload = Pick<
  Slug,
  | "id"
  | "appId"
  | "processTypes"
  | "stack"
  | "commit"
  | "commitDescription"
  | "buildpackDescription"
  | "checksum"
  | "createdAt"
>;

/** Where a build's files came from, if not from a push. */
export interface BuildSource {
  readonly url: string;
  /** `SHA256:<hex>` */
  readonly checksum: string | null;
  readonly version: string | null;
  readonly versionDescription: string | null;
}

export interface Build {
  readonly id: string;
  readonly appId: string;
  readonly userId: string;
  readonly status: "pending" | "succeeded" | "failed";
  readonly commit: string | null;
  /** null: it was pushed. */
  readonly source: BuildSource | null;
  /** null: the first that fits. */
  readonly buildpacks: readonly BuildpackRef[] | null;
  readonly buildpackDescription: string | null;
  readonly slugId: string | null;
  readonly releaseId: string | null;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
}
