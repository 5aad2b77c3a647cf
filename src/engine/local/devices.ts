import { lstatSync, statSync } from "node:fs";
import { mkdir, open, symlink } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../lib/command.ts";
import type { Logger } from "../../lib/logger.ts";
import { type CommonMounts, MASKED } from "./bundle.ts";
import { isMounted, unmount } from "./loop.ts";

/** `empty`: a folder of root's that stays so. Repeatable. */
export async function openCommonMounts(runFolder: string, empty: string, logger: Logger): Promise<CommonMounts> {
  const folders = MASKED.filter((each) => statSync(each, { throwIfNoEntry: false })?.isDirectory());
  return { devices: await openDevices(runFolder, logger), cover: { empty, folders } };
}

/** The usual six: name and minor, with majors of their own (spec 11). */
const NODES = [
  { name: "null", major: 1, minor: 3 },
  { name: "zero", major: 1, minor: 5 },
  { name: "full", major: 1, minor: 7 },
  { name: "random", major: 1, minor: 8 },
  { name: "urandom", major: 1, minor: 9 },
  { name: "tty", major: 5, minor: 0 },
];
const LINKS = {
  fd: "/proc/self/fd",
  stdin: "/proc/self/fd/0",
  stdout: "/proc/self/fd/1",
  stderr: "/proc/self/fd/2",
  ptmx: "pts/ptmx",
};
/** Where file systems of a dyno's own are mounted. */
const FOLDERS = ["pts", "shm", "mqueue"];
/** Made last: without it the rest is not whole. */
const LAST = { name: "core", target: "/proc/kcore" };

/**
 * One small file system with what every container sees as `/dev`, read-only: its devices are of the machine, so that no dyno can change
 * anything about it, and a file system with twenty inodes for each dyno is not needed. Its path; null where this host
 * lets nobody make devices (a container): each dyno has a `/dev` of its own there. Repeatable; goes with the run folder.
 */
async function openDevices(runFolder: string, logger: Logger): Promise<string | null> {
  const at = join(runFolder, "dev");
  if ((await isMounted(at)) && hasLast(at)) return at;
  try {
    await unmount(at); // one that an earlier process was making
    await mkdir(at, { recursive: true });
    await run("mount", ["-t", "tmpfs", "-o", "size=64k,mode=0755,nosuid,noexec", "tmpfs", at]);
    for (const { name, major, minor } of NODES)
      await run("mknod", ["-m", "0666", "--", join(at, name), "c", String(major), String(minor)]);
    for (const [name, target] of Object.entries(LINKS)) await symlink(target, join(at, name));
    for (const name of FOLDERS) await mkdir(join(at, name), { mode: 0o755 });
    await using _opens = await open(join(at, "null"), "r+"); // a node where devices are forbidden opens for nobody
    await symlink(LAST.target, join(at, LAST.name));
    return at;
  } catch (error) {
    await unmount(at);
    logger.info("devices.own", { message: "Each dyno has a /dev of its own: none can be made here to share.", error });
    return null;
  }
}

const hasLast = (at: string): boolean => lstatSync(join(at, LAST.name), { throwIfNoEntry: false }) !== undefined;
