import type { Clock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/logger.ts";
import { UUID } from "../../lib/uuid.ts";
import type { DiskSetting, DiskStanding } from "../../model/disk.ts";
import type { Instance, InstancePaths } from "../../model/instance.ts";
import { findCgroups, groupsOf } from "./cgroup.ts";
import { chooseDisk, toTry } from "./disk-choice.ts";
import { clearTrials, MECHANISMS, standingOf, tryMechanisms, tryOnHost } from "./disk-mechanisms.ts";
import { clearMove, finishMove, move } from "./store-move.ts";
import { type LimitedStore, type StoreOptions, volumesFolderOf } from "./volume-store.ts";

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

export const storeOf = (paths: InstancePaths): string => volumesFolderOf(paths.host);

/** Opens the store that is there; makes it, or takes what apps keep over to another mechanism, where that is asked for and can be. */
export async function openLimitedStore(options: OpenOptions): Promise<LimitedStore> {
  const { paths, setting, dynosLive, logger } = options;
  const { host: folder } = paths;
  await finishMove(folder);
  await clearMove(folder);
  await clearTrials(folder);
  const standing = standingOf(paths);
  const trials = await tryMechanisms(toTry({ setting, standing }), folder, options);
  const choice = chooseDisk({ setting, standing, trials, dynosLive });
  if (choice.kind === "use") {
    if (choice.refused !== "") logger.warn("store.setting_refused", { message: choice.refused });
    return openOne(choice.mechanism, options);
  }
  const { from, to } = choice;
  try {
    await move({ ...options, from, to, folder });
  } catch (error) {
    logger.error("store.move_failed", { from, to, error });
    await clearMove(folder);
    return openOne(from, options);
  }
  await finishMove(folder);
  logger.info("store.moved", { from, to });
  return openOne(to, options);
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
  const trials = await tryOnHost(toTry({ setting, standing }), paths, tools);
  const dynosLive = (await groupsOf(await findCgroups(cgroup, cgroupParent))).some((name) => UUID.test(name));
  try {
    const choice = chooseDisk({ setting, standing, trials, dynosLive });
    return choice.kind === "use" ? choice.refused : "";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
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
