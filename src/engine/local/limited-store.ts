import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../lib/clock.ts";
import { run } from "../../lib/command.ts";
import type { Logger } from "../../lib/logger.ts";
import { DISK_MECHANISMS, type DiskMechanism, type DiskSetting, type DiskStanding } from "../../model/disk.ts";
import type { Instance, InstancePaths } from "../../model/instance.ts";
import { btrfs } from "./btrfs-store.ts";
import { findCgroups, groupsOf } from "./cgroup.ts";
import { chooseDisk, toTry } from "./disk-choice.ts";
import { UUID } from "./dyno-folder.ts";
import { image } from "./image-store.ts";
import { plain } from "./plain-store.ts";
import { project } from "./project-store.ts";
import { type LimitedStore, type Mechanism, type StoreOptions, volumesFolderOf } from "./volume-store.ts";

export interface OpenOptions {
  readonly paths: InstancePaths;
  readonly programFolder: string;
  readonly setting: DiskSetting;
  /** Running dynos write where they began. */
  readonly dynosLive: boolean;
  /** MiB of a volume that is kept when the mechanism changes; undefined: it is made anew when it is needed. */
  readonly durableMb: (name: string) => number | undefined;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly readyCount: number;
}

const MECHANISMS: Readonly<Record<DiskStanding, Mechanism>> = { btrfs, project, image, none: plain };
const TRIAL = "disk-trial-";
/** As small as every mechanism goes. */
const TRIAL_BYTES = 256 * 1024 ** 2;
const COPY_MS = 60 * 60_000;

export const storeOf = (paths: InstancePaths): string => volumesFolderOf(paths.host);

/** Opens the store that is there; makes it, or takes what apps keep over to another mechanism, where that is asked for and can be. */
export async function openLimitedStore(options: OpenOptions): Promise<LimitedStore> {
  const { paths, setting, dynosLive, logger } = options;
  await finishMove(paths.host);
  await clearLeft(paths.host);
  const standing = standingOf(paths);
  const trials = await tryMechanisms(toTry({ setting, standing }), paths.host, options);
  const choice = chooseDisk({ setting, standing, trials, dynosLive });
  if (choice.kind === "use") {
    if (choice.refused !== "") logger.warn("store.setting_refused", { message: choice.refused });
    return openOne(choice.mechanism, options);
  }
  try {
    await move(choice.from, choice.to, options);
  } catch (error) {
    logger.error("store.move_failed", { from: choice.from, to: choice.to, error });
    await clearFolder(movingOf(paths.host));
    return openOne(choice.from, options);
  }
  logger.info("store.moved", { from: choice.from, to: choice.to });
  return openOne(choice.to, options);
}

/**
 * Why the operator's setting would not be followed by a host process that starts now; "" if it would. For root, with every package
 * installed; touches nothing.
 */
export async function diskRefusal(
  { cgroup, paths }: Instance,
  setting: DiskSetting,
  cgroupParent: string,
  tools: Pick<StoreOptions, "programFolder" | "clock" | "logger">,
): Promise<string> {
  const standing = standingOf(paths);
  const trials = await tryMechanisms(
    toTry({ setting, standing }),
    existsSync(paths.host) ? paths.host : paths.run,
    tools,
  );
  const dynosLive = (await groupsOf(await findCgroups(cgroup, cgroupParent))).some((name) => UUID.test(name));
  try {
    const choice = chooseDisk({ setting, standing, trials, dynosLive });
    return choice.kind === "use" ? choice.refused : "";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** What the volumes that are there lie on; null: there are none. */
export function standingOf({ host }: Pick<InstancePaths, "host">): DiskStanding | null {
  const found = DISK_MECHANISMS.find((each) => MECHANISMS[each].isThere(host));
  return found ?? (plain.isThere(host) ? "none" : null);
}

/**
 * Makes a small store of each of these in a folder of its own below `folder`, with a volume in it, and takes it away again. Why
 * that failed, or "". Root only; nothing else is touched.
 */
export async function tryMechanisms(
  names: readonly DiskMechanism[],
  folder: string,
  tools: Pick<StoreOptions, "programFolder" | "clock" | "logger">,
): Promise<Partial<Record<DiskMechanism, string>>> {
  const found: Partial<Record<DiskMechanism, string>> = {};
  for (const name of names) {
    const own = join(folder, `${TRIAL}${process.pid}-${name}`); // doctor may try at the same time
    found[name] = await tryOne(MECHANISMS[name], own, tools);
  }
  return found;
}

async function tryOne(
  mechanism: Mechanism,
  folder: string,
  tools: Pick<StoreOptions, "programFolder" | "clock" | "logger">,
): Promise<string> {
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

async function openOne(name: DiskStanding, options: OpenOptions): Promise<LimitedStore> {
  const { paths, logger } = options;
  const isThere = MECHANISMS[name].isThere(paths.host);
  if (name === "none") {
    const message = "Disks of dynos are not limited: this machine can do none of what stator doctor lists.";
    logger.warn("store.unlimited", { message });
  }
  return MECHANISMS[name].open({ ...options, folder: paths.host }).catch((error: unknown) => {
    // It holds the repositories of apps: a person has to look.
    const what = isThere ? "What apps keep cannot be opened" : "The store of dynos' disks cannot be made";
    throw new Error(`${what}: ${name} in ${paths.host}`, { cause: error });
  });
}

/** Where the new store is made, and the name it has once everything is in it. */
const movingOf = (host: string): string => join(host, "store-moving");
const movedOf = (host: string): string => join(host, "store-moved");

/** No dyno runs. Until the new store is whole the old one is what counts, and from then on the new one. */
async function move(from: DiskStanding, to: DiskMechanism, options: OpenOptions): Promise<void> {
  const { host } = options.paths;
  const folder = movingOf(host);
  await mkdir(folder, { mode: 0o711 });
  {
    await using old = await MECHANISMS[from].open({ ...options, folder: host, readyCount: 0 });
    await using young = await MECHANISMS[to].open({ ...options, folder, readyCount: 0 });
    for (const name of await old.list()) {
      const sizeMb = options.durableMb(name);
      if (sizeMb === undefined) continue;
      const [source, target] = [await old.ensure(name, sizeMb), await young.ensure(name, sizeMb)];
      await run("cp", ["--archive", "--no-target-directory", "--", source, target], { timeoutMs: COPY_MS });
    }
  }
  await MECHANISMS[to].close(folder);
  await run("sync", ["--file-system", folder]); // the images themselves
  await rename(folder, movedOf(host));
  await finishMove(host);
}

/** The second half of a move, which may have been interrupted anywhere; repeatable. */
async function finishMove(host: string): Promise<void> {
  const folder = movedOf(host);
  if (!existsSync(folder)) return;
  const to = DISK_MECHANISMS.find((each) => MECHANISMS[each].isThere(folder));
  if (to !== undefined) {
    const [names, theirNames] = [volumesFolderOf(folder), volumesFolderOf(host)];
    if (existsSync(names)) {
      for (const each of [...DISK_MECHANISMS, "none"] as const) await MECHANISMS[each].discard(host);
      if (existsSync(theirNames)) await rmdir(theirNames);
      await rename(names, theirNames);
    }
    const { files } = MECHANISMS[to];
    await rename(join(folder, files), join(host, files)); // last: by it the mechanism is known
  }
  await rmdir(folder);
}

/** Trials and a move of processes that were killed in the middle of it. */
async function clearLeft(host: string): Promise<void> {
  await clearFolder(movingOf(host));
  for (const name of await readdir(host)) {
    const pid = name.startsWith(TRIAL) ? name.slice(TRIAL.length).split("-")[0] : undefined;
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) await clearFolder(join(host, name));
  }
}

async function clearFolder(folder: string): Promise<void> {
  if (!existsSync(folder)) return;
  for (const each of DISK_MECHANISMS) await MECHANISMS[each].discard(folder);
  await rm(folder, { recursive: true, force: true });
}
