import type { Instant } from "../lib/clock.ts";
import type { AppManifest } from "./app-manifest.ts";

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
  readonly slugId: string | null;
  readonly userId: string;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
}

/** pending: its dynos are coming up next to those of the current release. expired: a newer one took over first. */
export type ReleaseStatus = "pending" | "succeeded" | "failed" | "expired";

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
  readonly buildpackDescription: string | null;
  /** What its `app.json` asks of the platform. */
  readonly manifest: AppManifest;
  readonly createdAt: Instant;
}

export interface Build {
  readonly id: string;
  readonly appId: string;
  readonly userId: string;
  readonly status: "pending" | "succeeded" | "failed";
  readonly commit: string | null;
  readonly buildpackDescription: string | null;
  readonly slugId: string | null;
  readonly releaseId: string | null;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
}
