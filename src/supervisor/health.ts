import type { Instant } from "../lib/clock.ts";
import type { DynoRecord } from "../model/dyno.ts";
import { type CheckKind, type CheckReport, type Health, notPassing, sentenceOf } from "../model/health.ts";
import type { Action } from "./situation.ts";
import { change } from "./transitions.ts";

/**
 * What a dyno's checks mean for it, once its command runs (and its port accepts connections, if it waits for one). Without
 * checks: nothing.
 *
 *     starting -> up          every startup check has passed, and, of a web dyno, every readiness check passes
 *     starting -> crashed     a startup check has failed, or they did not pass within the boot timeout
 *     up, ready <-> not ready readiness: no new requests meanwhile
 *     up -> crashed           a liveness check has failed
 */
export function mayComeUp(health: Health | undefined): boolean {
  return health === undefined || (health.started && health.ready);
}

/** A startup check that failed as often as it may: killed, and its end counts as a crash. */
export function startFailed(record: DynoRecord, health: Health | undefined, now: Instant): Action | undefined {
  const check = health && notPassing(health, "startup");
  if (check?.verdict !== "failing") return undefined;
  return killed(record, `Startup check failed: ${sentenceOf(check)}${inARow(check)}`, now);
}

/** It listens, but its checks did not pass in time. */
export function startTimedOut(record: DynoRecord, health: Health | undefined, now: Instant, bootMs: number): Action {
  const check = health && (notPassing(health, "startup") ?? notPassing(health, "readiness"));
  if (check === undefined) throw new Error(`${record.name} has no check that it waits for`);
  const late = `did not pass within ${bootMs / 1000} seconds of launch`;
  return killed(record, `${named(check.kind)} check ${late}: ${sentenceOf(check)}`, now);
}

/** A dyno that is up. */
export function followHealth(record: DynoRecord, health: Health | undefined, now: Instant): readonly Action[] {
  if (health === undefined) return [];
  const dead = notPassing(health, "liveness");
  if (dead?.verdict === "failing") return [restarted(record, dead, now)];
  if (health.ready === (record.ready !== false)) return [];
  return [health.ready ? readyAgain(record, health) : notReady(record, health)];
}

function restarted(record: DynoRecord, check: CheckReport, now: Instant): Action {
  const detail = `Liveness check failed: ${sentenceOf(check)}${inARow(check)}`;
  return change(record, { stopping: { since: now, reason: "unhealthy", killed: false, detail } }, [
    `${detail}; restarting`,
    "Stopping all processes with SIGTERM",
  ]);
}

function notReady(record: DynoRecord, health: Health): Action {
  const check = notPassing(health, "readiness") ?? notPassing(health, "startup");
  const why = check === undefined ? "" : `: ${sentenceOf(check)}${inARow(check)}`;
  return change(record, { ready: false }, [`Readiness check failed${why}; no new requests until it passes`]);
}

function readyAgain(record: DynoRecord, health: Health): Action {
  const what = health.checks.filter(({ kind }) => kind === "readiness").map(sentenceOf);
  return change(record, { ready: true }, [`Readiness check passes again: ${what.join(", ")}; requests come again`]);
}

function killed(record: DynoRecord, detail: string, now: Instant): Action {
  const stopping = { since: now, reason: "not-started", killed: true, detail } as const;
  return change(record, { stopping }, [detail, "Stopping process with SIGKILL"]);
}

function inARow({ failures }: CheckReport): string {
  return failures > 1 ? ` (${failures} times in a row)` : "";
}

function named(kind: CheckKind): string {
  return `${kind.charAt(0).toUpperCase()}${kind.slice(1)}`;
}
