import type { Clock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/logger.ts";
import type { DiskStanding } from "../../model/disk.ts";

/**
 * Where dynos write: a volume with a limit of its own for each dyno and for each app's repository and cache
 * (docs/decisions/0014). Every volume's folder belongs to root and is open to whoever knows its name.
 */
export interface LimitedStore extends AsyncDisposable {
  /** What holds the limits. */
  readonly mechanism: DiskStanding;
  /** Makes a volume of this many MiB and gives its folder. */
  create(name: string, sizeMb: number): Promise<string>;
  /** Makes a volume with what another one holds; where the mechanism can, that is shared and not counted until it changes. */
  copy(name: string, sizeMb: number, from: string): Promise<string>;
  /** Gives a volume its name, once what is in it is on disk. */
  rename(from: string, to: string): Promise<void>;
  /** Gives the volume, which is made if it is not there; made to last, also through a power cut. */
  ensure(name: string, sizeMb: number): Promise<string>;
  /** Takes a volume and all in it away; repeatable. Where files have to be walked, that goes on in the background. */
  remove(name: string): Promise<void>;
  /** Names of all volumes. */
  list(): Promise<readonly string[]>;
  /** Bytes that each volume holds, by name; empty where nothing counts them. */
  used(): Promise<ReadonlyMap<string, number>>;
}

export interface StoreOptions {
  /** Below it lie the image or images and `store`, where volumes are found by name. */
  readonly folder: string;
  readonly programFolder: string;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Volumes kept ready (default 4). */
  readonly readyCount?: number;
  /** Of the image that all share (default: most of what is free). */
  readonly bytesMax?: number;
}

/** One way to limit disks. */
export interface Mechanism {
  /** The file or folder in the store's folder that holds everything. */
  readonly files: string;
  /** Opens it, and makes it where it is not there. What an earlier process left half made is gone afterwards. */
  open(options: StoreOptions): Promise<LimitedStore>;
  /** Whether its files are there. */
  isThere(folder: string): boolean;
  /** Unmounts what is not used, and leaves its files; repeatable. */
  close(folder: string): Promise<void>;
  /** Takes all of it away, volumes included; repeatable. */
  discard(folder: string): Promise<void>;
}

/** Names that volumes have before they are whole, and after they were given back. */
export const UNFINISHED = /^new-/;
export const GONE = /^gone-/;

export const volumesFolderOf = (folder: string): string => `${folder}/store`;
