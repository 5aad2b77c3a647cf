import { type Frame, ProtocolError } from "./frames.ts";

export type GitService = "git-upload-pack" | "git-receive-pack";

/** `job`, first thing from the daemon: what this dyno is there for. */
export type Job = GitJob | ArchiveJob | PurgeJob;

/** One run of git for one HTTP request. */
export interface GitJob {
  readonly service: GitService;
  /** Only tell which refs there are. */
  readonly advertise: boolean;
  /** The client's `Git-Protocol` header. */
  readonly protocol: string | null;
}

/** Make a slug of an archive: build what is in it, or take it as it is. */
export interface ArchiveJob {
  readonly service: "source" | "slug";
  /** Where to fetch it; null: it comes as `input`. */
  readonly url: string | null;
  /** Hex SHA-256 that it must have; null: any. */
  readonly sha256: string | null;
  /** What its sender calls it: a commit, mostly. */
  readonly version: string | null;
}

/** Empty the build cache. */
export interface PurgeJob {
  readonly service: "purge-cache";
}

/** `build`, from the driver: this commit was pushed to a branch that is deployed; null: the archive of the job is to be built. */
export interface BuildRequest {
  readonly commit: string | null;
}

/** `go`, the daemon's answer: build it with this. */
export interface Go {
  readonly stack: string;
  readonly configVars: Readonly<Record<string, string>>;
  /** Canonical URLs (`model/buildpack.ts`), in order; none: look for one that fits. */
  readonly buildpacks: readonly string[];
  readonly limits: { readonly treeBytes: number; readonly files: number; readonly diskMb: number };
}

/** `compiled`, from the driver: the tree is ready. The daemon parses both texts itself. */
export interface Compiled {
  /** Text of the Procfile; null: there is none. */
  readonly procfile: string | null;
  /** What the buildpack's bin/release printed. */
  readonly release: string;
  /** Text of app.json; null: there is none. */
  readonly appJson: string | null;
  /** `Node.js` */
  readonly buildpack: string;
}

/** `verdict`, from the daemon: whether the push is accepted. Ends the build at whatever point it is. */
export interface Verdict {
  readonly accepted: boolean;
}

/** `exit`, last thing from the driver: git's exit status, and after a push how large the repository is. */
export interface Exit {
  readonly status: number;
  readonly repositoryBytes: number | null;
}

export const PROCFILE_BYTES_MAX = 64 * 1024;
export const APP_JSON_BYTES_MAX = 64 * 1024;
export const RELEASE_BYTES_MAX = 64 * 1024;

/** Trusted: the daemon's own words. */
export function parseJob(frame: Frame): Job {
  const job = fields(frame, "job") as unknown as Job; // see parseGo
  if (!SERVICES.includes(job.service)) throw new ProtocolError("job: unknown service");
  return job;
}

const SERVICES: readonly Job["service"][] = ["git-upload-pack", "git-receive-pack", "source", "slug", "purge-cache"];

export function parseBuildRequest(frame: Frame): BuildRequest {
  const { commit } = fields(frame, "build");
  if (commit === null) return { commit };
  const name = text(commit, "build: commit", 64);
  if (!/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(name)) throw new ProtocolError("build: no commit");
  return { commit: name };
}

/** Trusted: the daemon's own words. */
export function parseGo(frame: Frame): Go {
  return fields(frame, "go") as unknown as Go; // the daemon made it, and the driver can do nothing that its user could not
}

export function parseCompiled(frame: Frame): Compiled {
  const { procfile, release, appJson, buildpack } = fields(frame, "compiled");
  return {
    procfile: procfile === null ? null : text(procfile, "compiled: procfile", PROCFILE_BYTES_MAX),
    release: text(release, "compiled: release", RELEASE_BYTES_MAX),
    appJson: appJson === null ? null : text(appJson, "compiled: appJson", APP_JSON_BYTES_MAX),
    buildpack: text(buildpack, "compiled: buildpack", 200),
  };
}

export function parseVerdict(frame: Frame): Verdict {
  return { accepted: fields(frame, "verdict")["accepted"] === true };
}

export function parseExit(frame: Frame): Exit {
  const { status, repositoryBytes = null } = fields(frame, "exit");
  if (typeof status !== "number" || !Number.isInteger(status)) throw new ProtocolError("exit: no status");
  const isSize = typeof repositoryBytes === "number" && Number.isSafeInteger(repositoryBytes) && repositoryBytes >= 0;
  if (repositoryBytes !== null && !isSize) throw new ProtocolError("exit: no size");
  return { status, repositoryBytes };
}

function fields(frame: Frame, kind: string): Record<string, unknown> {
  if (frame.kind !== kind) throw new ProtocolError(`${frame.kind} came where ${kind} should`);
  let value: unknown;
  try {
    value = JSON.parse(frame.payload.toString("utf8"));
  } catch {
    throw new ProtocolError(`${kind}: no JSON`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new ProtocolError(`${kind}: no object`);
  return value as Record<string, unknown>; // an object that is no array
}

function text(value: unknown, what: string, bytesMax: number): string {
  if (typeof value !== "string" || Buffer.byteLength(value) > bytesMax)
    throw new ProtocolError(`${what}: no short text`);
  return value;
}
