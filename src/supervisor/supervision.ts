import type { DynoRecord, IdleDyno } from "../model/dyno.ts";
import type { Health } from "../model/health.ts";
import type { ReleaseStatus } from "../model/release.ts";

/** What the API, builds and one-off dynos ask of the supervisor. All of it survives a restart of the daemon. */
export interface Supervision {
  /**
   * Before the transaction that writes down a dyno of the release as one that should run. Neither it nor what it gives throws; what was begun
   * is undone where no such record comes.
   */
  prepare(appId: string, releaseId: string): Promise<HeadStart>;
  /** Something of the app changed in the store: look soon. */
  nudge(appId: string): void;
  /**
   * Restarts formation dynos: all, those of a type, or one by name; an app of which that is an idle one wakes. Throws `not_found` for a
   * name that is not there.
   */
  restart(appId: string, which: Which): Promise<void>;
  /** Stops dynos, one-off ones too; formation dynos come back (spec 17.9), and idle ones are stopped already. */
  stop(appId: string, which: Which): Promise<void>;
  /** Resolves when the release is no longer pending. `onNoRoom` hears of each old dyno that was stopped to make room for it. */
  settled(
    releaseId: string,
    signal: AbortSignal,
    onNoRoom?: (dynoName: string) => void,
  ): Promise<{ readonly status: ReleaseStatus; readonly failure: string | null }>;
  /** Resolves when the release has no command to run (any more), or is no longer pending. */
  commandEnded(releaseId: string, signal: AbortSignal): Promise<void>;
  /** Resolves with the dyno's exit status once it has ended (null: lost). */
  exited(dynoId: string, signal: AbortSignal): Promise<number | null>;
  /** The client of an attached dyno has gone: SIGHUP three times, 5 s apart, then R16 (spec 3.9). */
  disconnect(dynoId: string): Promise<void>;
  /** Resolves once the engine has no dyno of the app: after `apps.remove`, before `Engine.removeApp`. */
  vanished(appId: string, signal: AbortSignal): Promise<void>;
  /** What the checks of the app's dynos say now, by the dyno's id; those without checks are left out. */
  health(appId: string): Promise<Readonly<Record<string, Health>>>;
  /** When the next start of a crashed dyno is due, by name. */
  nextStarts(appId: string): Promise<Readonly<Record<string, number>>>;
  /** Those that an app which sleeps has when it is awake, always with the same ids; none of one that is awake. */
  idleDynos(appId: string): Promise<readonly IdleDyno[]>;
}

/** A start that begins before it is on record. */
export interface HeadStart {
  /** For a dyno without terminal and input: of one that starts sooner, if there is such. */
  newId(): string;
  /** In the transaction that writes the record down: its start begins now, up to its command. */
  begin(record: DynoRecord): void;
}

export type Which =
  | { readonly kind: "all" }
  | { readonly kind: "type"; readonly type: string }
  | { readonly kind: "dyno"; readonly name: string };

/**
 * What the supervisor asks of the router: resolves once new requests follow what the store says of the app now, and dynos that get none
 * any more have answered what they took, or have had a second for it.
 */
export interface Routing {
  settle(appId: string): Promise<void>;
}

/** What the supervisor tells whoever keeps the output of release commands. */
export interface CommandOutput {
  /** The dyno of a release command that was launched, at each look; with `exit` once all that it wrote is in the app's log. */
  follow(record: DynoRecord): void;
}

/**
 * What the supervisor asks of builds: resolves once the engine has the image of the slug for the app. Throws `ChecksumError`
 * when what is kept of the slug is not what was built.
 */
export interface SlugImages {
  ensure(slugId: string, uidIndex: number): Promise<void>;
}
