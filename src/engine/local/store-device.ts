import { existsSync } from "node:fs";
import { readFile, realpath, stat } from "node:fs/promises";
import { join } from "node:path";

/** A whole disk as limits on block I/O name it. */
export interface BlockDevice {
  readonly name: string;
  readonly major: number;
  readonly minor: number;
}

const LOOP_MAJOR = 7;

/**
 * The disk on which reads and writes below a folder are limited. A loop device hands on who asked, so a limit on the disk below
 * the image holds, and counts what is read of the images of stacks and slugs too; limits on both would halve each other
 * (measured: 5 MiB/s on either gives 5, on both 2.6). The loop device itself where nothing is known to be below it. undefined:
 * no block device is (overlay, network, tmpfs).
 */
export async function storeDevice(folder: string): Promise<BlockDevice | undefined> {
  const device = await deviceBelow(folder);
  if (device?.major !== LOOP_MAJOR) return device;
  const image = await read(`/sys/dev/block/${device.major}:${device.minor}/loop/backing_file`);
  return (existsSync(image) ? await storeDevice(image) : undefined) ?? device;
}

async function deviceBelow(path: string): Promise<BlockDevice | undefined> {
  const { dev } = await stat(path);
  const numbers = numbersOf(dev);
  if (numbers.major !== 0) return wholeDisk(numbers);
  // btrfs and others number their volumes as no device is; the mount says which one.
  const source = sourceOf(await readFile("/proc/self/mountinfo", "utf8"), await realpath(path));
  if (source === undefined || !existsSync(source)) return undefined;
  const { rdev } = await stat(source);
  return rdev === 0 ? undefined : wholeDisk(numbersOf(rdev));
}

/** The kernel takes limits for disks, not for their partitions. */
async function wholeDisk(numbers: Omit<BlockDevice, "name">): Promise<BlockDevice | undefined> {
  const link = `/sys/dev/block/${numbers.major}:${numbers.minor}`;
  if (!existsSync(link)) return undefined;
  const own = await realpath(link);
  const disk = existsSync(join(own, "partition")) ? join(own, "..") : own;
  const [major = 0, minor = 0] = (await read(join(disk, "dev"))).split(":").map(Number);
  return { name: disk.split("/").at(-1) ?? "", major, minor };
}

/** What is mounted nearest above a path, out of `/proc/self/mountinfo`; of several at one place the last. */
export function sourceOf(mountinfo: string, path: string): string | undefined {
  const mounts = mountinfo
    .split("\n")
    .filter(Boolean)
    .map((line) => {
      const [before = "", after = ""] = line.split(" - ");
      return { at: unescape(before.split(" ")[4] ?? ""), source: unescape(after.split(" ")[1] ?? "") };
    });
  const above = mounts.filter(({ at }) => at === path || path.startsWith(at === "/" ? "/" : `${at}/`));
  const longest = Math.max(...above.map(({ at }) => at.length));
  return above.findLast(({ at }) => at.length === longest)?.source;
}

/** Linux's packing of device numbers in `st_dev`. */
export function numbersOf(dev: number): { readonly major: number; readonly minor: number } {
  const bits = BigInt(dev);
  const major = ((bits >> 8n) & 0xfffn) | ((bits >> 32n) & ~0xfffn);
  const minor = (bits & 0xffn) | ((bits >> 12n) & 0xffffff00n);
  return { major: Number(major), minor: Number(minor) };
}

const unescape = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/g, (_all, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

async function read(path: string): Promise<string> {
  return (await readFile(path, "utf8").catch(() => "")).trim(); // it just went away
}
