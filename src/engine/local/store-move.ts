import { existsSync } from "node:fs";
import { mkdir, rename, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../lib/command.ts";
import { DISK_MECHANISMS, type DiskMechanism, type DiskStanding } from "../../model/disk.ts";
import { clearFolder, MECHANISMS } from "./disk-mechanisms.ts";
import { type StoreOptions, volumesFolderOf } from "./volume-store.ts";

const COPY_MS = 60 * 60_000;

/** Where the new store is made, and the name it has once everything is in it. */
const movingOf = (host: string): string => join(host, "store-moving");
const movedOf = (host: string): string => join(host, "store-moved");

export interface MoveOptions extends Omit<StoreOptions, "readyCount" | "bytesMax"> {
  readonly from: DiskStanding;
  readonly to: DiskMechanism;
  /** MiB of a volume that is taken over; undefined: it is made anew when it is needed. */
  readonly durableMb: (name: string) => number | undefined;
}

/**
 * Copies what apps keep into a store of another mechanism; no dyno runs. Until that is whole the old store is what counts, and from
 * then on the new one: `finishMove` puts it in its place. Killed or failed, nothing has happened but what `clearMove` takes away.
 */
export async function move(options: MoveOptions): Promise<void> {
  const { from, to, folder: host } = options;
  const folder = movingOf(host);
  await mkdir(folder, { mode: 0o711 });
  {
    await using old = await MECHANISMS[from].open({ ...options, readyCount: 0 });
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
}

/** The second half of a move, which may have been interrupted anywhere; repeatable. */
export async function finishMove(host: string): Promise<void> {
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

/** Takes away what a move left that was killed or failed; repeatable. */
export const clearMove = (host: string): Promise<void> => clearFolder(movingOf(host));
