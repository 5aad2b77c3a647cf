import type { DynoSignal, EngineErrorId, ObservedDyno } from "../engine/engine.ts";
import type { Instant } from "../lib/clock.ts";
import type { DynoRecord } from "../model/dyno.ts";
import type { CrashRecord } from "../store/store.ts";
import type { Desired, DesiredDyno, ReleaseCommand } from "./desired.ts";

/** Everything that a plan is made from, for one app at one instant. */
export interface Situation {
  /** null: the app is gone. */
  readonly desired: Desired | null;
  /** Oldest first. */
  readonly records: readonly DynoRecord[];
  /** The app's dynos, without build dynos that somebody works with. */
  readonly observed: readonly ObservedDyno[];
  readonly crashes: readonly CrashRecord[];
  readonly attempts: Attempts;
  /** Kept from one plan to the next. */
  readonly ahead?: Ahead;
  readonly now: Instant;
}

/**
 * What became of calls to the engine, since the daemon started. It only paces repetition, and gives signals their grace:
 * losing it costs a repeated call, which does nothing, or a second SIGTERM, which spec 3.3 allows.
 */
export type Attempts = ReadonlyMap<string, Attempt>;

export interface Attempt {
  /** When it last went well; null: not yet. */
  readonly doneAt: Instant | null;
  /** Failures in a row, and the last one. */
  readonly failures: number;
  readonly error: EngineErrorId | "checksum" | "other" | null;
  readonly message: string;
  /** Not to be tried again before. */
  readonly nextAt: Instant;
}

export type AttemptKind = "launch" | DynoSignal | "forget" | "say";

export const attemptKey = (kind: AttemptKind, dynoId: string) => `${kind} ${dynoId}`;

export interface Plan {
  readonly actions: readonly Action[];
  /** The next instant at which time alone changes the plan. */
  readonly lookAgainAt: Instant | null;
  /** Whether something is on its way (starting, stopping, rolling out), so that looking often is worth it. */
  readonly unsettled: boolean;
}

export interface Line {
  readonly source: "app" | "heroku";
  readonly process: string;
  readonly text: string;
}

/** Small and repeatable. Those on the store are done first, in one transaction; each is left out if its row has changed since. */
export type Action =
  | {
      readonly kind: "change";
      readonly record: DynoRecord;
      readonly change: DynoChange;
      readonly lines: readonly Line[];
      /** The crash that this is. */
      readonly crash: CrashRecord | null;
    }
  | {
      readonly kind: "create";
      readonly dyno: DesiredDyno;
      readonly releaseId: string;
      /** The crashed record whose place it takes. */
      readonly inPlaceOf: DynoRecord | null;
      readonly lines: readonly Line[];
    }
  | { readonly kind: "drop"; readonly record: DynoRecord; readonly lines: readonly Line[] }
  | { readonly kind: "clear-crashes"; readonly name: string }
  | { readonly kind: "expire"; readonly releaseId: string }
  /** Makes the record of the release's command, once. */
  | {
      readonly kind: "begin-command";
      readonly releaseId: string;
      readonly command: ReleaseCommand;
      readonly lines: readonly Line[];
    }
  /** It has exited with status 0. */
  | { readonly kind: "end-command"; readonly releaseId: string }
  | { readonly kind: "fail"; readonly releaseId: string; readonly failure: string; readonly lines: readonly Line[] }
  /** The candidate becomes current, if what was current still is. */
  | {
      readonly kind: "promote";
      readonly releaseId: string;
      readonly after: string | null;
      readonly types: readonly string[];
    }
  /** Start it; `record.launchedAt` is set by a `change` of the same plan or an earlier one. */
  | { readonly kind: "launch"; readonly record: DynoRecord }
  /** `settle`: only once no new request goes to it. */
  | { readonly kind: "signal"; readonly dynoId: string; readonly signal: DynoSignal; readonly settle: boolean }
  | { readonly kind: "forget"; readonly dynoId: string; readonly exitedAt: Instant | null }
  | { readonly kind: "say"; readonly dynoId: string; readonly lines: readonly Line[] };

export type DynoChange = Partial<Omit<DynoRecord, "id" | "appId">>;

/** Instants that lie ahead since the clock was set back: each counts from when it was first seen so. */
export class Ahead {
  readonly #seenAt = new Map<Instant, Instant>();

  /** Where it is counted from. */
  countedFrom(at: Instant, now: Instant): Instant {
    const seenAt = this.#seenAt.get(at);
    if (at <= now + CLOCK_SLACK_MS) return Math.min(at, seenAt ?? at);
    if (seenAt !== undefined && seenAt <= now + CLOCK_SLACK_MS) return seenAt;
    if (this.#seenAt.size >= AHEAD_MAX) this.#seenAt.clear();
    this.#seenAt.set(at, now);
    return now;
  }
}
const AHEAD_MAX = 10_000;

/** Instants that a plan waits for. */
export class Deadlines {
  readonly #now: Instant;
  readonly #ahead: Ahead;
  #next: Instant | null = null;

  constructor(now: Instant, ahead: Ahead = new Ahead()) {
    this.#now = now;
    this.#ahead = ahead;
  }

  get next(): Instant | null {
    return this.#next;
  }

  /** Whether `at` has come; if not, the plan is to be made again then. */
  reached(at: Instant): boolean {
    if (at <= this.#now) return true;
    this.#next = Math.min(this.#next ?? at, at);
    return false;
  }

  /** Whether `ms` have passed since then: since the clock was set back, if that is ahead now. */
  passed(since: Instant, ms: number): boolean {
    return this.reached(this.#ahead.countedFrom(since, this.#now) + ms);
  }
}

const CLOCK_SLACK_MS = 5000;
