import type { ObservedDyno, ObservedState, Running } from "../engine/engine.ts";
import type { Instant } from "../lib/clock.ts";
import type { DynoRecord } from "../model/dyno.ts";
import { DEFAULT_RUNTIME, type Runtime } from "../model/runtime.ts";
import { followHealth, mayComeUp, startFailed, startTimedOut } from "./health.ts";
import { RESTART_POLICIES, withCrash, withHopelessCrash } from "./restart-policy.ts";
import { type Action, type AttemptKind, attemptKey, type Deadlines, type Situation } from "./situation.ts";
import {
  bootTimedOut,
  CLIENT_MS,
  cameUp,
  checksumFailed,
  clientNeverCame,
  type End,
  ended,
  graceEnded,
  HANGUP_EVERY_MS,
  HANGUPS,
  heroku,
  hungUp,
  launched,
  MAKING_MS,
  neverStarted,
  REFUSED_MS,
  stop,
} from "./transitions.ts";

/** What to do for one dyno as it is: start it, note what became of it, end it. Whether it should be there is not asked here. */
export function tend(record: DynoRecord, observed: ObservedDyno | undefined, look: Look): readonly Action[] {
  if (record.exit !== null) return observed === undefined ? [] : forget(record.id, record.exit.at, look);
  if (observed === undefined) return tendUnseen(record, look);
  switch (observed.state.kind) {
    case "ended":
      return [ended(record, endOf(record, observed.state, look), look.now)];
    case "creating":
      return record.stopping !== null
        ? repeatedKill(record, look)
        : look.deadlines.passed(observed.state.since, MAKING_MS)
          ? [bootTimedOut(record, look.now, "unmade")]
          : [];
    case "running":
      return record.stopping !== null
        ? tendStopping(record, record.stopping, look)
        : tendRunning(record, observed.state, look);
    default:
      return observed.state satisfies never;
  }
}

export interface Look extends Situation {
  readonly deadlines: Deadlines;
}

/** The engine does not know it: not started yet, or lost. */
function tendUnseen(record: DynoRecord, look: Look): readonly Action[] {
  const { now, deadlines } = look;
  const { oneOff } = record;
  const lost = { at: now, status: null, outOfMemory: false, crash: null };
  const hasLeft = record.stopping !== null || (oneOff?.disconnected !== undefined && record.launchedAt === null);
  if (hasLeft || record.state === "up") return [ended(record, lost, now)];
  if (oneOff?.awaiting === true) {
    if (deadlines.passed(record.createdAt, CLIENT_MS)) return [clientNeverCame(record, now)];
    const lines = [heroku(record.name, "Awaiting client")];
    return may("say", record.id, look) ? [{ kind: "say", dynoId: record.id, lines }] : [];
  }
  const attempt = look.attempts.get(attemptKey("launch", record.id));
  if (attempt?.doneAt !== undefined && attempt.doneAt !== null) return [ended(record, lost, now)]; // it was there
  if (attempt?.error === "checksum") return [checksumFailed(record, attempt.message, hopelessCrash(record, look), now)];
  if (attempt?.error === "gone") return [ended(record, lost, now)];
  if (oneOff !== null && attempt !== undefined && hasFailedForLong(record, look)) {
    return [neverStarted(record, attempt.message, now)];
  }
  const launch: Action = { kind: "launch", record };
  if (record.launchedAt === null) return [launched(record, now), launch];
  if (record.kind === "release" && attempt === undefined) {
    // Asked for by a daemon that is dead, and perhaps run before the machine went down: a release command never runs twice. A call that
    // is still on its way has come by then.
    return deadlines.passed(record.launchedAt, START_MS) ? [ended(record, lost, now)] : [];
  }
  return may("launch", record.id, look) ? [launch] : [];
}

/** No call to start a dyno takes longer. */
export const START_MS = 60_000;

/** Whether the engine has been refusing to start it for a minute, and not only because it cannot be reached. */
export function hasFailedForLong(record: DynoRecord, look: Look): boolean {
  const attempt = look.attempts.get(attemptKey("launch", record.id));
  if (attempt === undefined || attempt.failures < 3 || record.launchedAt === null) return false;
  if (attempt.error === "unavailable" && record.oneOff === null) return false;
  return look.deadlines.passed(record.launchedAt, REFUSED_MS);
}

function tendRunning(record: DynoRecord, { since, listening, health }: Running, look: Look): readonly Action[] {
  const { now, deadlines } = look;
  if (record.state === "starting") {
    const isThere = !waitsForPort(record) || listening;
    if (isThere && mayComeUp(health))
      return mayBeShort(record) && !deadlines.passed(since, SHORT_MS) ? [] : [cameUp(record, now)];
    const failed = startFailed(record, health, now);
    if (failed !== undefined) return [failed];
    const bootSeconds = runtimeOf(look).bootTimeoutSeconds;
    if (!deadlines.passed(since, bootSeconds * 1000)) return [];
    return [
      isThere ? startTimedOut(record, health, now, bootSeconds * 1000) : bootTimedOut(record, now, { bootSeconds }),
    ];
  }
  if (record.oneOff === null) return followHealth(record, health, now);
  const { disconnected, timeToLive } = record.oneOff;
  if (deadlines.passed(since, (timeToLive ?? DAY_SECONDS) * 1000)) return [stop(record, "time-to-live", now)];
  if (disconnected === undefined || disconnected.hangups > HANGUPS) return [];
  if (!deadlines.passed(disconnected.at, disconnected.hangups === 0 ? 0 : HANGUP_EVERY_MS)) return [];
  const signal: Action = { kind: "signal", dynoId: record.id, signal: "HUP", settle: false };
  return disconnected.hangups < HANGUPS ? [hungUp(record, now), signal] : [hungUp(record, now)];
}

const DAY_SECONDS = 86_400;
/** A one-off dyno that ends sooner has its end noted together with that it came up: one commit, and nothing in the way of its end. */
export const SHORT_MS = 25;

/** Those whose client waits for them to be up are noted at once. */
export function mayBeShort({ kind, oneOff }: DynoRecord): boolean {
  return kind !== "formation" && oneOff?.attach !== true;
}

/** Web dynos are up once they listen, all others once they run (spec 1.3). */
export function waitsForPort(record: { readonly kind: string; readonly type: string }): boolean {
  return record.kind === "formation" && record.type === "web";
}

function tendStopping(
  record: DynoRecord,
  stopping: NonNullable<DynoRecord["stopping"]>,
  look: Look,
): readonly Action[] {
  if (stopping.killed) return repeatedKill(record, look);
  const term = look.attempts.get(attemptKey("TERM", record.id));
  const termAt = term?.doneAt ?? null;
  if (termAt !== null) {
    const graceSeconds = runtimeOf(look).stopGraceSeconds;
    return look.deadlines.passed(termAt, graceSeconds * 1000) ? [graceEnded(record, stopping, graceSeconds)] : [];
  }
  if (!may("TERM", record.id, look)) return [];
  const settle = waitsForPort(record) && (term?.failures ?? 0) < SETTLE_TRIES;
  return [{ kind: "signal", dynoId: record.id, signal: "TERM", settle }];
}

/** A router that cannot be reached holds up a stop for no longer than it takes to try this often, some 8 s. */
const SETTLE_TRIES = 5;
const AGAIN_MS = 2000;

function repeatedKill(record: DynoRecord, look: Look): readonly Action[] {
  if (!isDueAgain("KILL", record.id, look)) return [];
  return [{ kind: "signal", dynoId: record.id, signal: "KILL", settle: false }];
}

/** Frees what the engine keeps of a dyno; kills it first if it lives. */
export function forget(dynoId: string, exitedAt: Instant | null, look: Look): readonly Action[] {
  return isDueAgain("forget", dynoId, look) ? [{ kind: "forget", dynoId, exitedAt }] : [];
}

/** For calls whose effect is still not to be seen: due, and due again a while after they went well. */
function isDueAgain(kind: AttemptKind, dynoId: string, look: Look): boolean {
  const doneAt = look.attempts.get(attemptKey(kind, dynoId))?.doneAt ?? null;
  return doneAt === null ? may(kind, dynoId, look) : look.deadlines.passed(doneAt, AGAIN_MS);
}

/** Whether a call that did not go well yet may be made (again). */
export function may(kind: AttemptKind, dynoId: string, look: Look): boolean {
  const attempt = look.attempts.get(attemptKey(kind, dynoId));
  if (attempt === undefined) return true;
  return attempt.doneAt === null && look.deadlines.reached(Math.min(attempt.nextAt, look.now + MAX_PAUSE_MS));
}

/** No pause is longer, whatever the clock was set to. */
const MAX_PAUSE_MS = 60_000;

/** An app that is gone has no settings any more. */
function runtimeOf({ desired }: Look): Runtime {
  return desired?.app ?? DEFAULT_RUNTIME;
}

/** Nothing but a mended file helps: it is looked at again after the policy's longest wait, or when somebody restarts it. */
function hopelessCrash(record: DynoRecord, { desired, now }: Look) {
  if (desired?.current?.id !== record.releaseId || record.kind !== "formation") return null;
  return withHopelessCrash(RESTART_POLICIES[desired.app.restartPolicy], record.name, now);
}

function endOf(record: DynoRecord, state: Extract<ObservedState, { kind: "ended" }>, look: Look): End {
  const { at, status } = state;
  const isCurrent = look.desired?.current?.id === record.releaseId;
  if (look.desired === null || !isCurrent || status === null) return { ...state, crash: null };
  const before = look.crashes.find((each) => each.name === record.name);
  const policy = RESTART_POLICIES[look.desired.app.restartPolicy];
  const ranMs = at - (record.launchedAt ?? at);
  const crash = withCrash(policy, before, { name: record.name, ranMs, at: look.now });
  return { ...state, crash };
}
