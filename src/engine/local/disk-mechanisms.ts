import { existsSync } from "node:fs";
import { mkdir, readdir, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { DISK_MECHANISMS, type DiskMechanism, type DiskStanding } from "../../model/disk.ts";
import type { InstancePaths } from "../../model/instance.ts";
import { btrfs } from "./btrfs-store.ts";
import { image } from "./image-store.ts";
import { plain } from "./plain-store.ts";
import { project } from "./project-store.ts";
import type { Mechanism, StoreOptions } from "./volume-store.ts";

export const MECHANISMS: Readonly<Record<DiskStanding, Mechanism>> = { btrfs, project, image, none: plain };
const TRIAL = "disk-trial-";
/** As small as every mechanism goes. */
const TRIAL_BYTES = 256 * 1024 ** 2;

type TrialTools = Pick<StoreOptions, "programFolder" | "clock" | "logger">;

/** What the volumes that are there lie on; null: there are none. */
export function standingOf({ host }: Pick<InstancePaths, "host">): DiskStanding | null {
  const found = DISK_MECHANISMS.find((each) => MECHANISMS[each].isThere(host));
  return found ?? (plain.isThere(host) ? "none" : null);
}

/** Tries them where the disks are to be, or on memory as long as nothing is installed. */
export async function tryOnHost(
  names: readonly DiskMechanism[],
  paths: Pick<InstancePaths, "host" | "run">,
  tools: TrialTools,
): Promise<Partial<Record<DiskMechanism, string>>> {
  if (existsSync(paths.host)) return tryMechanisms(names, paths.host, tools);
  const trials = await tryMechanisms(names, paths.run, tools);
  if (names.length > 0) await rmdir(paths.run).catch(() => {}); // something else is in it
  return trials;
}

/**
 * Makes a small store of each of these in a folder of its own below `folder`, with a volume in it, and takes it away again. Why
 * that failed, or "". Root only; nothing else is touched.
 */
export async function tryMechanisms(
  names: readonly DiskMechanism[],
  folder: string,
  tools: TrialTools,
): Promise<Partial<Record<DiskMechanism, string>>> {
  const found: Partial<Record<DiskMechanism, string>> = {};
  for (const name of names) {
    const own = join(folder, `${TRIAL}${process.pid}-${name}`); // doctor may try at the same time
    found[name] = await tryOne(MECHANISMS[name], own, tools);
  }
  return found;
}

async function tryOne(mechanism: Mechanism, folder: string, tools: TrialTools): Promise<string> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await using store = await mechanism.open({ ...tools, folder, readyCount: 0, bytesMax: TRIAL_BYTES });
    await store.create("trial", 16);
    return (await store.used()).has("trial") ? "" : "nothing counts what a volume holds";
  } catch (error) {
    return error instanceof Error ? error.message.replaceAll(/\s+/g, " ").trim() : String(error);
  } finally {
    await mechanism.discard(folder);
    await rm(folder, { recursive: true, force: true });
  }
}

/** Takes away the trials of processes that were killed in the middle of one. */
export async function clearTrials(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const pid = name.startsWith(TRIAL) ? name.slice(TRIAL.length).split("-")[0] : undefined;
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) await clearFolder(join(folder, name));
  }
}

/** Takes away a folder in which a store was made that nobody needs; repeatable. */
export async function clearFolder(folder: string): Promise<void> {
  if (!existsSync(folder)) return;
  for (const each of DISK_MECHANISMS) await MECHANISMS[each].discard(folder);
  await rm(folder, { recursive: true, force: true });
}
