import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { findCgroups } from "../../engine/local/cgroup.ts";
import type { Instance } from "../../model/instance.ts";
import { scopePath } from "./units.ts";

/** As for every stop of a dyno (spec 3.3). */
const GRACE_MS = 30_000;

/**
 * Ends all dynos as a stop does: SIGTERM to every process, SIGKILL to what is left after the grace. Works by the instance's
 * control groups alone; conmon notes each end.
 */
export async function endDynos(instance: Instance): Promise<void> {
  const folders = await groupsOf(instance);
  const living = () => [...new Set(folders.flatMap((folder) => dynoProcesses(folder)))];
  for (const pid of living()) signal(pid, "SIGTERM");
  const until = performance.now() + GRACE_MS;
  while (living().length > 0 && performance.now() < until) await pause(100);
  for (let round = 0; round < 50 && living().length > 0; round++) {
    for (const pid of living()) signal(pid, "SIGKILL");
    await pause(100);
  }
}

/** The instance's group in each hierarchy, below systemd's scope or the root. */
async function groupsOf(instance: Instance): Promise<readonly string[]> {
  const parents = ["/", scopePath(instance)];
  const found = await Promise.all(
    parents.map((parent) =>
      findCgroups(instance.cgroup, parent).then(
        (groups) => groups.folders,
        () => [], // no control groups at all: no dynos either
      ),
    ),
  );
  return found.flat();
}

/** Processes in the groups of dynos, not of those that watch over them. */
function dynoProcesses(folder: string): readonly number[] {
  return list(folder)
    .filter((name) => name !== "conmon")
    .flatMap((name) => processesBelow(join(folder, name)));
}

function processesBelow(folder: string): readonly number[] {
  const own = readIfThere(join(folder, "cgroup.procs")).split("\n").filter(Boolean).map(Number);
  return [...own, ...list(folder).flatMap((name) => processesBelow(join(folder, name)))];
}

function list(folder: string): readonly string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch {
    return []; // it is gone with its last process
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // it has ended by itself
  }
}
