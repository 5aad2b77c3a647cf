import type { Readable, Writable } from "node:stream";
import type { Instant } from "../lib/clock.ts";
import type { DynoKind } from "../model/dyno.ts";
import type { EgressRule } from "../model/egress-rule.ts";
import type { Health, HealthCheck } from "../model/health.ts";
import type { Isolation } from "../model/isolation.ts";
import type { DynoUsage } from "../model/usage.ts";

/**
 * What runs dynos, and decides nothing: the same loop drives the local engine (through the host process), Kubernetes and
 * the simulation. All that others may import of this folder.
 *
 * Every call may be repeated, and may fail before or after it took effect; the caller looks again.
 */
export interface Engine {
  /** When each step of the dyno's start was done; null: not known (any more). */
  startMarks(id: string): Promise<StartMarks | null>;
  /** Every dyno that the engine knows, ended ones included until `remove`; with `appId` that app's alone. */
  list(appId?: string): Promise<readonly ObservedDyno[]>;
  /**
   * What each running dyno uses now. Cheap enough to be asked every few seconds; the tasks of the dynos of `tasksOf` (ids of
   * apps) cost more, and are for load averages.
   */
  usage(tasksOf?: readonly string[]): Promise<readonly DynoUsage[]>;
  /** `prepare` or `start` may be called within milliseconds: what takes its time before every start may begin. A hint, and cheap. */
  expectStart(): void;
  /**
   * The id of a standby: of a dyno to come, of the class `container` and without terminal and input, for which programs are up already.
   * It is given once, and nobody else's then. undefined: none stands by, and any other id will do.
   */
  standbyId(): string | undefined;
  /**
   * `start` will be called with this within moments: all that comes before its command's first instruction may be done. Where it is not
   * called, or with something else, that is undone; where this is lost, `start` does it all. Throws `invalid` as `start` does.
   */
  prepare(spec: DynoSpec): void;
  /**
   * Starts a dyno once. Repeated with an id that lives or ended: does nothing. With an id that was removed: throws
   * `gone`. Throws `no_capacity` when the host has no room for it; then nothing was started.
   */
  start(spec: DynoSpec): Promise<void>;
  /** Sends a signal to every process in the dyno (spec 3.3). Does nothing if it has ended. */
  signal(id: string, signal: DynoSignal): Promise<void>;
  /** Forgets an ended dyno and frees what it held: disk, address, logs. Kills it first if it lives. */
  remove(id: string): Promise<void>;
  /** New size of a dyno's terminal. */
  resize(id: string, rows: number, columns: number): Promise<void>;
  /**
   * Standard input of a dyno started with `stdin: true`; ending the stream closes the dyno's standard input. It fails with
   * `EngineError("unavailable")` where it was lost on the way (the host process was killed): pipes have ended then, terminals have not.
   */
  input(id: string): Promise<Writable>;
  /** A two-way byte stream with the program in a build dyno (`io: true`), once that has connected. */
  io(id: string, signal: AbortSignal): Promise<ByteStream>;
  /**
   * Runs a process beside those of a running dyno, behind the same walls; it ends with the dyno. The stream carries the frames of
   * `lib/process-frames.ts`; closing it hangs the process up. Throws `not_found` where the dyno does not run, `invalid` with the
   * reason where this machine cannot, or too many run already.
   */
  exec(id: string, request: ExecRequest, signal: AbortSignal): Promise<ByteStream>;
  /**
   * Why no dyno of this class can start here, and what to do about it, in words for a person; null when dynos of it start.
   * May take seconds when it is asked first: it is tried.
   */
  isolationRefusal(isolation: Isolation): Promise<string | null>;
  /** Calls `listener` when something may have changed, with the dyno's id where known. Hints only: any may be lost. */
  watch(listener: (dynoId: string | undefined) => void): Disposable;
  /** Calls `listener` with things that belong into the app's log. May be lost while the daemon is down. */
  notices(listener: (notice: EngineNotice) => void): Disposable;

  /** Whether the image of this slug is there for this app's users. */
  hasSlug(slug: SlugRef): Promise<boolean>;
  /** Makes the slug's image from an uncompressed tar of the tree below `/app` (names start `./`). */
  putSlug(slug: SlugRef, tar: Readable): Promise<void>;
  /** Frees the images of this slug that no dyno uses. */
  removeSlug(slug: SlugRef): Promise<void>;
  /** Frees all that is kept for an app: repository, cache, slugs. Its dynos must have ended. */
  removeApp(appId: string, uidIndex: number): Promise<void>;
  /**
   * The app's own egress rules, all of them: for its dynos that run, and before the first packet of those to come. Kept by the
   * engine, whoever restarts. Throws `invalid` for what is no rule.
   */
  setEgress(appId: string, rules: readonly EgressRule[]): Promise<void>;
  /** Processed raw log segments up to (not including) `segment` may go. */
  trimLog(id: string, segment: number): Promise<void>;
}

/** What the engine's process tells those in other ones. */
export interface StandbyOffers {
  /** Calls `listener` with each id that `standbyId` would give, now and later. Disposed of, those that were not used are nobody's. */
  offerStandbys(listener: (id: string) => void): Disposable;
  /** One that was offered is a new dyno's now, which is asked for within moments; where it is not, the id is nobody's again. */
  standbyGiven(id: string): void;
}

/** A dyno's connection was refused by the network rules; at most one a minute for each dyno and destination. */
export interface EngineNotice {
  readonly kind: "refused";
  readonly dynoId: string;
  /** `10.0.0.5:5432` */
  readonly destination: string;
  readonly protocol: "tcp" | "udp" | "other";
}

export type DynoSignal = "TERM" | "KILL" | "HUP";

export interface ByteStream {
  readonly readable: Readable;
  readonly writable: Writable;
  close(): void;
}

export interface ExecRequest {
  /** Text for bash inside the dyno, as one argument, or a program of the dyno and its arguments. */
  readonly command: string | readonly string[];
  /**
   * `dyno`: as its own command: the profile scripts come first, and what is added here is added to its environment (config vars, PORT,
   * DYNO). `bare`: neither, for our own helpers, which nothing of the dyno's is to change.
   */
  readonly setting: "dyno" | "bare";
  readonly env: Readonly<Record<string, string>>;
  /** A terminal of this size; null: plain pipes. */
  readonly terminal: { readonly rows: number; readonly columns: number } | null;
}

/** A slug's tree by digest (hex SHA-256 of its uncompressed tar), for the users of one app. */
export interface SlugRef {
  readonly digest: string;
  readonly uidIndex: number;
}

/** Everything needed to run one dyno. Ids, names and numbers; never a path, never an option of the runtime. */
export interface DynoSpec {
  /** UUID, unique for ever. */
  readonly id: string;
  readonly appId: string;
  /** Which range of user ids: the app's own, never given to another app. */
  readonly uidIndex: number;
  readonly kind: DynoKind;
  /** `web.1`, `run.4711`, `build.17`; unique only among dynos that should live. */
  readonly name: string;
  readonly releaseId: string | null;
  readonly stack: StackName;
  /** null: an empty `/app`. */
  readonly slugDigest: string | null;
  /** Given to bash inside the dyno as one argument (spec 3.1). */
  readonly command: string;
  readonly env: Readonly<Record<string, string>>;
  /** A name of the catalogue. */
  readonly size: string;
  /** Build dynos are containers. */
  readonly isolation: Isolation;
  /** Expected to accept connections on this port (also set as PORT by the caller). null: not a web dyno. */
  readonly port: number | null;
  /** A terminal of this size; null: plain pipes. */
  readonly terminal: { readonly rows: number; readonly columns: number } | null;
  /** Whether standard input stays open for `input`. */
  readonly stdin: boolean;
  /** Build dynos: the app's repository at `/repo`, its cache at `/cache`, and `/run/stator/io.sock` for `io`. */
  readonly io: boolean;
  /** What it is asked while it runs, formation dynos only; absent: nothing. */
  readonly checks?: readonly HealthCheck[];
  /** When the caller did its part of the start. */
  readonly marks?: CallerMarks;
}

/** CLOCK_MONOTONIC, milliseconds. `asked`: its record was made; `planned`: it was to be started; `written`: the store knew. */
export interface CallerMarks {
  readonly asked: number;
  readonly planned: number;
  readonly written: number;
}

/** What the steps of a start are called, in the order in which they are begun; those of one engine need not be another's. */
export const START_STEPS = [
  "asked",
  "planned",
  "written",
  "received",
  "network",
  "disk",
  "bundle",
  "created",
  "started",
  "listening",
] as const;
export type StartStep = (typeof START_STEPS)[number];

/** When each step was done: CLOCK_MONOTONIC, milliseconds. */
export type StartMarks = Readonly<Partial<Record<StartStep, number>>>;

export type StackName = "debian-12" | "debian-12-build";

export interface ObservedDyno {
  readonly id: string;
  readonly appId: string;
  readonly kind: DynoKind;
  readonly name: string;
  readonly releaseId: string | null;
  readonly state: ObservedState;
}

export type ObservedState =
  /** Being made; its command does not run yet. */
  | { readonly kind: "creating"; readonly since: Instant }
  | Running
  /** Its command has ended; kept until `remove`. `status`: 0 to 255, 128 + signal when killed; null: lost, nobody saw it end. */
  | {
      readonly kind: "ended";
      readonly at: Instant;
      readonly status: number | null;
      /** The kernel killed it at its own ceiling. */
      readonly outOfMemory: boolean;
      /** It was far below its ceiling, and the kernel killed it because the machine, or what all dynos share of it, was full. */
      readonly machineOutOfMemory?: true;
      /** With `outOfMemory`: what it held when it was killed, where the kernel tells. */
      readonly memoryBytes?: number;
    };

/** Its command runs. */
export interface Running {
  readonly kind: "running";
  readonly since: Instant;
  /** Its port accepted a connection (always false without a port). */
  readonly listening: boolean;
  readonly address: string | null;
  /** What its checks say by now, asked whether or not anybody looks; absent: it has none. */
  readonly health?: Health;
}

export type EngineErrorId = "gone" | "no_capacity" | "invalid" | "not_found" | "unavailable" | "failed";

export class EngineError extends Error {
  readonly id: EngineErrorId;
  constructor(id: EngineErrorId, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = "EngineError";
    this.id = id;
  }
}
