import type { Instant } from "../lib/clock.ts";
import type { Random } from "../lib/random.ts";

export type DynoKind = "formation" | "run" | "scheduler" | "release" | "build";

/** What users are shown of a dyno (spec 1.3); `down` ones are not listed. */
export type DynoState = "starting" | "up" | "crashed" | "down" | "complete";

/** One start of one process, as the platform remembers it. `name` is reused, `id` never is. */
export interface DynoRecord {
  readonly id: string;
  readonly appId: string;
  readonly kind: DynoKind;
  readonly name: string;
  readonly type: string;
  readonly releaseId: string;
  readonly size: string;
  readonly command: string;
  readonly state: DynoState;
  readonly stateSince: Instant;
  readonly createdAt: Instant;
  /** Set before the engine is asked to start it, so that it is asked once. */
  readonly launchedAt: Instant | null;
  /** Why and since when it is being stopped; SIGKILL follows after the grace. null: it should live. */
  readonly stopping: {
    readonly since: Instant;
    readonly reason: StopReason;
    readonly killed: boolean;
    /** In a sentence, where the reason alone says too little. */
    readonly detail?: string;
  } | null;
  /** Its end, once seen; status null: lost. */
  readonly exit: { readonly at: Instant; readonly status: number | null } | null;
  /** One-off dynos only. */
  readonly oneOff: OneOff | null;
  readonly port: number | null;
  /** false: it is up and fails its readiness check, so no new request goes to it. */
  readonly ready?: boolean;
}

/** A dyno that would run if its app did not sleep; `heroku ps` shows it as `idle` (spec 1.3). There is nothing behind it. */
export type IdleDyno = Omit<DynoRecord, "state"> & { readonly state: "idle" };

/** What its log says once it is on record that it is launched. */
export function launchLine({ command }: Pick<DynoRecord, "command">): string {
  return `Starting process with command \`${command}\``;
}

/** What is the same in the record of every new dyno: nobody has asked the engine for it yet. */
export function unstarted(now: Instant) {
  return {
    state: "starting",
    stateSince: now,
    createdAt: now,
    launchedAt: null,
    stopping: null,
    exit: null,
  } as const satisfies Partial<DynoRecord>;
}

export type StopReason =
  | "restart"
  | "cycling"
  | "scale"
  /** Its app sleeps. */
  | "idle"
  | "replaced"
  /** Like `replaced`, for want of room beside its successor. */
  | "no-room"
  | "stop"
  | "boot-timeout"
  /** Its startup check failed, or its startup or readiness check did not pass in time. */
  | "not-started"
  /** Its liveness check failed. */
  | "unhealthy"
  | "time-to-live"
  | "disconnected"
  | "app-destroyed"
  | "failed-release";

export interface OneOff {
  readonly attach: boolean;
  /** Attached, and its client has not connected yet: not to be started; R13 after 30 s (spec 3.9). */
  readonly awaiting: boolean;
  readonly terminal: { readonly rows: number; readonly columns: number } | null;
  /** Environment of the call; kept encrypted by the store, and forgotten once the dyno has ended. */
  readonly env: Readonly<Record<string, string>>;
  /** Seconds; null: 24 h. */
  readonly timeToLive: number | null;
  readonly userEmail: string;
  /** Its client has gone (spec 3.9): since when, and how many of the three SIGHUPs were sent; 4: R16 was logged. */
  readonly disconnected?: { readonly at: Instant; readonly hangups: number };
}

/** The number in `web.12`; 0 if there is none. */
export function ordinalOf(name: string): number {
  const dot = name.lastIndexOf(".");
  const ordinal = Number(name.slice(dot + 1));
  return dot > 0 && Number.isSafeInteger(ordinal) ? ordinal : 0;
}

const NAME_TRIES = 50;

/** `run.1234`, `scheduler.1234`, of which no dyno of the app is left (spec 1.2); undefined: none was found. */
export function freeName(type: string, dynos: readonly DynoRecord[], random: Random): string | undefined {
  const taken = new Set(dynos.map((dyno) => dyno.name));
  const tries = Array.from({ length: NAME_TRIES }, () => `${type}.${random.below(9999) + 1}`);
  return tries.find((name) => !taken.has(name));
}

/** Whether it runs, or is on its way to. */
export function isLive(record: DynoRecord): boolean {
  return record.exit === null && record.stopping === null;
}

/** What `ps` shows: of each name the newest that is neither down nor complete, in the order of the names' numbers. */
export function shownDynos(records: readonly DynoRecord[]): readonly DynoRecord[] {
  const newest = new Map<string, DynoRecord>();
  for (const record of records) {
    const other = newest.get(record.name);
    if (record.state === "down" || record.state === "complete") continue;
    if (other === undefined || record.createdAt >= other.createdAt) newest.set(record.name, record);
  }
  return [...newest.values()].sort((a, b) =>
    a.type < b.type ? -1 : a.type > b.type ? 1 : ordinalOf(a.name) - ordinalOf(b.name),
  );
}

export type EndedOneOff = DynoRecord & { readonly exit: NonNullable<DynoRecord["exit"]> };

/** One-off dynos that have ended: no list of dynos has them any more. The latest end first. */
export function endedOneOffs(records: readonly DynoRecord[]): readonly EndedOneOff[] {
  return records
    .filter((record): record is EndedOneOff => record.exit !== null)
    .filter(({ kind }) => kind !== "formation" && kind !== "build")
    .sort((one, other) => other.exit.at - one.exit.at);
}

/**
 * The web dynos that get new requests: up, ready and not stopping. Of two with one name the current release's wins, so that a
 * pending release gets requests only where the current one has nothing up, and all of them once it is current.
 */
export function routedDynos(records: readonly DynoRecord[], currentReleaseId: string | null): readonly DynoRecord[] {
  const byName = new Map<string, DynoRecord>();
  for (const record of records) {
    if (record.kind !== "formation" || record.type !== "web" || record.state !== "up" || !isLive(record)) continue;
    if (record.ready === false) continue;
    const other = byName.get(record.name);
    if (other === undefined || other.releaseId !== currentReleaseId) byName.set(record.name, record);
  }
  return [...byName.values()];
}
