/** How the bytes and files that a dyno may write are limited (docs/decisions/0014). */
export const DISK_MECHANISMS = ["btrfs", "project", "image"] as const;

/**
 * `btrfs`: a quota group each on one btrfs; `project`: a project quota each on one ext4; `image`: an ext4 of its own for each
 * dyno. In the order in which they are tried.
 */
export type DiskMechanism = (typeof DISK_MECHANISMS)[number];

/** What the operator asks for; `auto`: the first that works, and then that one for good. */
export type DiskSetting = DiskMechanism | "auto";

/** What holds limits here; `none`: nothing does. */
export type DiskStanding = DiskMechanism | "none";

export const isDiskMechanism = (text: string): text is DiskMechanism =>
  (DISK_MECHANISMS as readonly string[]).includes(text);

/** One file for each 16 KiB of disk, as on an ordinary ext4; where the mechanism can count files. */
export const filesMaxOf = (sizeMb: number): number => sizeMb * 64;
