import { existsSync } from "node:fs";
import { mkdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Cgroups } from "./cgroup.ts";
import type { BlockDevice } from "./store-device.ts";

const RATE = 1024 ** 2;

/** Writes a rate into a group of its own below the instance's, and reads it back. Why not, else ""; null: no group to try it in. */
export async function tryIo(cgroups: Cgroups, { major, minor }: BlockDevice): Promise<string | null> {
  const file = cgroups.kind === "v2" ? "io.max" : "blkio.throttle.write_bps_device";
  const parent = cgroups.folders.find((folder) => cgroups.kind === "v2" || folder.includes("/blkio"));
  if (parent === undefined || !existsSync(parent)) return null;
  const folder = join(parent, `trial-${process.pid}`); // doctor may try at the same time
  const rate = cgroups.kind === "v2" ? `wbps=${RATE}` : String(RATE);
  try {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, file), `${major}:${minor} ${rate}`);
    return (await readFile(join(folder, file), "utf8")).includes(`${major}:${minor} `) ? "" : "the rate did not stay";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    await rmdir(folder).catch(() => {}); // it never came to be
  }
}
