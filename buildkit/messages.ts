import { type Frame, ProtocolError } from "./frames.ts";

export type GitService = "git-upload-pack" | "git-receive-pack";

/** `job`, first thing from the daemon: one run of git for one HTTP request. */
export interface Job {
  readonly service: GitService;
  /** Only tell which refs there are. */
  readonly advertise: boolean;
  /** The client's `Git-Protocol` header. */
  readonly protocol: string | null;
}

/** `build`, from the driver: this commit was pushed to a branch that is deployed. */
export interface BuildRequest {
  readonly commit: string;
}

/** `go`, the daemon's answer: build it with this. */
export interface Go {
  readonly stack: string;
  readonly configVars: Readonly<Record<string, string>>;
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

/** `exit`, last thing from the driver: git's exit status. */
export interface Exit {
  readonly status: number;
}

export const PROCFILE_BYTES_MAX = 64 * 1024;
export const APP_JSON_BYTES_MAX = 64 * 1024;
export const RELEASE_BYTES_MAX = 64 * 1024;

export function parseJob(frame: Frame): Job {
  const { service, advertise, protocol } = fields(frame, "job");
  if (service !== "git-upload-pack" && service !== "git-receive-pack") throw new ProtocolError("job: unknown service");
  if (typeof advertise !== "boolean") throw new ProtocolError("job: advertise is no boolean");
  return { service, advertise, protocol: protocol === null ? null : text(protocol, "job: protocol", 200) };
}

export function parseBuildRequest(frame: Frame): BuildRequest {
  const { commit } = fields(frame, "build");
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
  const { status } = fields(frame, "exit");
  if (typeof status !== "number" || !Number.isInteger(status)) throw new ProtocolError("exit: no status");
  return { status };
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
