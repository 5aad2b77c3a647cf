import type { Instant } from "../lib/clock.ts";
import { type DynoRecord, launchLine, type StopReason } from "../model/dyno.ts";
import { sizeNamed } from "../model/size.ts";
import { MEBIBYTE, memoryLine } from "../model/usage.ts";
import type { CrashRecord } from "../store/store.ts";
import type { Action, DynoChange, Line } from "./situation.ts";

/**
 * What happens to a dyno's record, and what its app's log says of it (spec 1.3, 3.3, 8.2).
 *
 *     formation:  starting -> up -> (stopping) down -> removed
 *                     \________\-> crashed -> replaced by a new record, or removed
 *     one-off:    starting -> up -> complete
 */

/** A host that has been refusing a dyno for this long will not take it. */
export const REFUSED_MS = 60_000;
export const MAKING_MS = 120_000;
export const CLIENT_MS = 30_000;

export function launched(record: DynoRecord, now: Instant): Action {
  return change(record, { launchedAt: now }, [launchLine(record)]);
}

export function cameUp(record: DynoRecord, now: Instant): Action {
  return change(record, { state: "up", stateSince: now }, [CAME_UP]);
}

const CAME_UP = "State changed from starting to up";

/** It is to end: with the usual grace, so the signal is SIGTERM. */
export function stop(record: DynoRecord, reason: StopReason, now: Instant): ChangeAction {
  const stopping = { since: now, reason, killed: false };
  const said = [...whyStopped(record, reason)];
  if (record.launchedAt !== null) said.push("Stopping all processes with SIGTERM");
  if (record.kind !== "formation") return change(record, { stopping }, said);
  return change(record, { stopping, state: "down", stateSince: now }, said);
}

function whyStopped(record: DynoRecord, reason: StopReason): readonly string[] {
  if (record.kind !== "formation") return [];
  switch (reason) {
    case "restart":
      return ["Restarting", ...backToStarting(record)];
    case "idle":
      return ["Idling", `State changed from ${record.state} to down`];
    case "scale":
    case "stop":
    case "app-destroyed":
      return [`State changed from ${record.state} to down`];
    case "cycling":
      return ["Cycling", ...backToStarting(record)];
    case "boot-timeout":
    case "not-started":
    case "unhealthy":
    case "disconnected":
    case "failed-release":
    case "no-room":
    case "replaced": // told when the new release's dyno of its name was made
    case "time-to-live":
      return [];
    default:
      return reason satisfies never;
  }
}

/** Its place is taken by one that starts; one that was starting itself changes no state. */
export function backToStarting({ state }: DynoRecord): readonly string[] {
  return state === "starting" ? [] : [`State changed from ${state} to starting`];
}

/** R10, or a dyno that the engine cannot finish making: killed, and its end counts as a crash (spec 3.2). */
export function bootTimedOut(
  record: DynoRecord,
  now: Instant,
  why: { readonly bootSeconds: number } | "unmade",
): Action {
  const error =
    why === "unmade"
      ? `Error R99 (Platform error) -> The dyno could not be made within ${MAKING_MS / 1000} seconds`
      : `Error R10 (Boot timeout) -> Web process failed to bind to $PORT within ${why.bootSeconds} seconds of launch`;
  const detail = why === "unmade" ? { detail: `could not be made within ${MAKING_MS / 1000} seconds` } : {};
  const stopping = { since: now, reason: "boot-timeout", killed: true, ...detail } as const;
  return change(record, { stopping }, [error, "Stopping process with SIGKILL"]);
}

/** R12: its grace is over (spec 3.3). */
export function graceEnded(
  record: DynoRecord,
  stopping: NonNullable<DynoRecord["stopping"]>,
  graceSeconds: number,
): Action {
  return change(record, { stopping: { ...stopping, killed: true } }, [
    `Error R12 (Exit timeout) -> At least one process failed to exit within ${graceSeconds} seconds of SIGTERM`,
    "Stopping remaining processes with SIGKILL",
  ]);
}

export type ChangeAction = Extract<Action, { readonly kind: "change" }>;

export interface End {
  readonly at: Instant;
  /** null: lost, nobody saw it end. */
  readonly status: number | null;
  readonly outOfMemory: boolean;
  /** It was below its ceiling; the machine's memory was gone. */
  readonly machineOutOfMemory?: true;
  /** What it held when the kernel killed it, where that is known. */
  readonly memoryBytes?: number;
  readonly crash: CrashRecord | null;
}

/** Its processes have ended, or it was lost. */
export function ended(record: DynoRecord, end: End, now: Instant): Action {
  const exit = { at: end.at, status: end.status };
  const said = howEnded(record, end);
  if (record.kind !== "formation") {
    const wasUp = record.state === "starting" && end.status !== null && record.stopping === null;
    if (wasUp) said.unshift(CAME_UP);
    said.push(`State changed from ${wasUp ? "up" : record.state} to complete`);
    return change(record, { exit, state: "complete", stateSince: now }, said);
  }
  if (wasAskedToEnd(record)) return change(record, { exit }, said);
  if (end.status === null) {
    if (record.state === "up") said.push("State changed from up to starting"); // moved and restarted at once (spec 3.4)
    return change(record, { exit, state: "down", stateSince: now }, said);
  }
  said.push(`State changed from ${record.state} to crashed`);
  return change(record, { exit, state: "crashed", stateSince: now }, said, end.crash);
}

function howEnded(record: DynoRecord, end: End): string[] {
  const { status } = end;
  if (status !== null)
    return [...(status === 137 ? whyKilled(record, end) : []), `Process exited with status ${status}`];
  const isExpected = record.stopping !== null || record.launchedAt === null;
  return isExpected ? [] : ["Error R99 (Platform error) -> The dyno was lost: its host failed or was restarted"];
}

function whyKilled(record: DynoRecord, { outOfMemory, machineOutOfMemory, memoryBytes }: End): readonly string[] {
  if (outOfMemory) return memoryVastlyExceeded(record, memoryBytes);
  if (machineOutOfMemory !== true) return [];
  return ["Error R99 (Platform error) -> The machine ran out of memory, and this dyno was ended for it"];
}

/** R15 (spec 6.1): the kernel has killed it at its size's ceiling. */
function memoryVastlyExceeded(record: DynoRecord, memoryBytes: number | undefined): readonly string[] {
  const quotaMb = sizeNamed(record.size)?.memoryMb;
  const isKnown = memoryBytes !== undefined && quotaMb !== undefined;
  return [
    ...(isKnown ? [memoryLine(memoryBytes, quotaMb * MEBIBYTE)] : []),
    "Error R15 (Memory quota vastly exceeded)",
    "Stopping process with SIGKILL",
  ];
}

/** Ends that the platform brings about because of what the dyno does, or does not do: crashes, all of them. */
const CRASHES: ReadonlySet<StopReason> = new Set(["boot-timeout", "not-started", "unhealthy"]);

/** Whether its end is what somebody wanted, so that it is no crash. */
export function wasAskedToEnd(record: DynoRecord): boolean {
  return record.stopping !== null && !CRASHES.has(record.stopping.reason);
}

/** R17: what is kept of its slug is not what was built, so it is never launched (spec 6.2). `sums`: both of them. */
export function checksumFailed(record: DynoRecord, sums: string, crash: CrashRecord | null, now: Instant): Action {
  const state = record.kind === "formation" ? "crashed" : "complete";
  const lines = [
    `Error R17 (Checksum error) -> Checksum does match expected value. ${sums}`,
    `State changed from ${record.state} to ${state}`,
  ];
  return change(record, { exit: { at: now, status: null }, state, stateSince: now }, lines, crash);
}

/** Whether R17 was its end. */
export function hadBadChecksum(record: DynoRecord): boolean {
  return record.state === "crashed" && record.exit !== null && record.exit.status === null;
}

/** R13: its client did not come in time; it was never started (spec 3.9). */
export function clientNeverCame(record: DynoRecord, now: Instant): Action {
  return change(record, { exit: { at: now, status: null }, state: "complete", stateSince: now }, [
    "Error R13 (Attach error) -> Failed to attach to process",
    "Process exited",
    "State changed from starting to complete",
  ]);
}

/** A one-off dyno that the host did not start within a minute. */
export function neverStarted(record: DynoRecord, why: string, now: Instant): Action {
  return change(record, { exit: { at: now, status: null }, state: "complete", stateSince: now }, [
    `Error R99 (Platform error) -> The dyno could not be started: ${why}`,
    "State changed from starting to complete",
  ]);
}

export const HANGUPS = 3;
export const HANGUP_EVERY_MS = 5000;

/** The next SIGHUP to a dyno whose client has gone, at last R16 (spec 3.9). */
export function hungUp(record: DynoRecord, now: Instant): Action {
  const { oneOff } = record;
  if (oneOff?.disconnected === undefined) throw new Error(`${record.name} has not lost its client`);
  const hangups = oneOff.disconnected.hangups + 1;
  return change(record, { oneOff: { ...oneOff, disconnected: { at: now, hangups } } }, [
    hangups <= HANGUPS
      ? "Client connection closed. Sending SIGHUP to all processes"
      : "Error R16 (Detached) -> An attached process is not responding to SIGHUP after its external connection was closed.",
  ]);
}

export function heroku(name: string, text: string): Line {
  return { source: "heroku", process: name, text };
}

export function change(
  record: DynoRecord,
  to: DynoChange,
  texts: readonly string[],
  crash: CrashRecord | null = null,
): ChangeAction {
  return { kind: "change", record, change: to, crash, lines: texts.map((text) => heroku(record.name, text)) };
}

/** The client of an attached dyno has gone; undefined if that changes nothing. */
export function losesClient(record: DynoRecord, now: Instant): DynoChange | undefined {
  const { oneOff } = record;
  if (oneOff?.attach !== true || oneOff.disconnected !== undefined || record.exit !== null) return undefined;
  return { oneOff: { ...oneOff, awaiting: false, disconnected: { at: now, hangups: 0 } } };
}
