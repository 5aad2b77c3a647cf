import { type DynoRecord, isLive } from "../model/dyno.ts";
import type { Desired, DesiredRelease, ReleaseCommand } from "./desired.ts";
import { fail } from "./rollout.ts";
import { type Action, attemptKey } from "./situation.ts";
import type { Look } from "./tend.ts";
import { stop } from "./transitions.ts";

/** A release whose command has not been done. */
export type WithCommand = DesiredRelease & { readonly command: ReleaseCommand };

export function hasCommand(release: DesiredRelease | null): release is WithCommand {
  return release !== null && release.command !== null;
}

/**
 * The release phase (spec 5.3): the release's command, once, in a dyno of its own, before any other dyno of the release. When the
 * dyno's record is made the release says so in the same transaction, and no second one is ever made, whatever becomes of the first:
 * status 0 lets the rollout begin, anything else fails the release. Meanwhile what is current is as it was.
 */
export function runCommand(desired: Desired, candidate: WithCommand, look: Look): readonly Action[] {
  const { command } = candidate;
  if (command.state === "waiting") {
    // That of a release that was given up may not have ended yet: two never run side by side.
    if (look.records.some(({ kind, exit }) => kind === "release" && exit === null)) return [];
    const text = `Starting process with command \`${command.command}\` by user ${command.userEmail}`;
    const lines = [{ source: "app", process: "api", text }] as const;
    return [{ kind: "begin-command", releaseId: candidate.id, command, lines }];
  }
  const record = look.records.findLast(({ kind, releaseId }) => kind === "release" && releaseId === candidate.id);
  if (record !== undefined && record.exit === null) return [];
  if (record?.exit?.status === 0 && record.stopping === null) return [{ kind: "end-command", releaseId: candidate.id }];
  return fail(desired, candidate, [], record === undefined ? FORGOTTEN : whyFailed(record, desired, look), look);
}

/** Commands of releases that are not to be any more: ended as any dyno is. */
export function strayCommands({ candidate }: Desired, look: Look): readonly Action[] {
  return look.records
    .filter((record) => record.kind === "release" && isLive(record))
    .filter(({ releaseId }) => !(hasCommand(candidate) && releaseId === candidate.id))
    .map((record) => stop(record, "replaced", look.now));
}

const FORGOTTEN = "what became of its release command is not known; look at its output before it is tried again";

function whyFailed({ id, name, exit, stopping }: DynoRecord, { app }: Desired, look: Look): string {
  if (stopping?.reason === "time-to-live")
    return `its release command (${name}) ran longer than ${app.releaseTimeoutSeconds} seconds`;
  if (stopping?.reason === "stop") return `its release command (${name}) was stopped`;
  if (stopping?.reason === "boot-timeout") return `the dyno of its release command (${name}) could not be made`;
  if (exit?.status != null) return `its release command (${name}) exited with status ${exit.status}`;
  const attempt = look.attempts.get(attemptKey("launch", id));
  if (attempt !== undefined && attempt.doneAt === null)
    return `its release command (${name}) could not be started: ${attempt.message}`;
  return `its release command (${name}) was lost, and it is not known how far it came; look at its output before it is tried again`;
}
