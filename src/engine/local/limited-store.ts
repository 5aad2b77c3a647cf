import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, mkdir, open, readdir, rename, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../lib/clock.ts";
import { run } from "../../lib/command.ts";
import type { Logger } from "../../lib/logger.ts";
import { Nudge } from "../../lib/nudge.ts";
import type { InstancePaths } from "../../model/instance.ts";
import { isMounted, mountImage } from "./loop.ts";
import { volumesOf } from "./usage-counters.ts";

/**
 * Where dynos write: one sparse file with btrfs in a loop device, and in it a volume with a limit of its own for each dyno
 * and for each app's repository and cache (docs/decisions/0014). Where the kernel has no btrfs: plain folders without limits.
 */
export interface LimitedStore extends AsyncDisposable {
  /** Whether limits hold. */
  readonly limited: boolean;
  /** Makes a volume. Its folder belongs to root and is open to whoever knows its name. */
  create(name: string, sizeMb: number): Promise<string>;
  /** Makes a volume with what another one holds, which is shared and not counted until it changes. */
  copy(name: string, sizeMb: number, from: string): Promise<string>;
  /** Gives a volume its name, once what is in it is on disk. */
  rename(from: string, to: string): Promise<void>;
  /** Gives the volume, which is made if it is not there. */
  ensure(name: string, sizeMb: number): Promise<string>;
  /** Deletes a volume and all in it; repeatable. */
  remove(name: string): Promise<void>;
  /** Names of all volumes. */
  list(): Promise<readonly string[]>;
  /** Bytes that each volume holds, by name, as of the last commit; empty where nothing counts them. */
  used(): Promise<ReadonlyMap<string, number>>;
}

export interface StoreOptions {
  readonly paths: InstancePaths;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Volumes kept ready (default 4). */
  readonly readyCount?: number;
}

/** Volumes of this size are kept ready, since making one takes two programs. */
const READY_MB = 2048;
const READY_COUNT = 4;
/** Volumes with their limits that nobody took yet, also of an earlier process; and those that were not finished. */
const READY = /^ready-/;
const UNFINISHED = /^new-/;
/** Nothing was taken or given back for so long: making more slows down nothing. */
const REFILL_AFTER_MS = 2000;
const LOOK_AGAIN_MS = 250;
const IMAGE_BYTES_MAX = 1024 ** 4;
const IMAGE_BYTES_MIN = 1024 ** 3;
/** Of the space that is free when the image is made; it is sparse, and takes what is in it. */
const SHARE_OF_FREE = 0.9;
/** The kernel needs this long to forget a deleted volume, whose quota group can go then. */
const SWEEP_AFTER_MS = 40_000;

const COPY_MS = 120_000;

export const imageOf = (paths: InstancePaths): string => join(paths.host, "store.img");
export const storeOf = (paths: InstancePaths): string => join(paths.host, "store");

export async function openLimitedStore(options: StoreOptions): Promise<LimitedStore> {
  const { paths, logger } = options;
  const root = storeOf(paths);
  await mkdir(root, { recursive: true });
  if (!(await isMounted(root))) {
    const isNew = !existsSync(imageOf(paths));
    try {
      await mountStore(imageOf(paths), root);
    } catch (error) {
      // It holds the repositories of apps: a person has to look.
      if (!isNew) throw new Error(`${imageOf(paths)} cannot be mounted`, { cause: error });
      await rm(imageOf(paths), { force: true });
      logger.warn("store.unlimited", {
        message: "Disks of dynos are not limited: btrfs cannot be mounted from a loop device here.",
        error,
      });
      await chmod(root, 0o711);
      return new PlainStore(root);
    }
  }
  // crun 1.8 gives a bind mount that is not read-only the flags of its source alone, whatever the bundle asks for.
  await run("mount", ["-o", "remount,nosuid,nodev", "--", root]);
  await chmod(root, 0o711);
  return BtrfsStore.open(root, options);
}

async function mountStore(image: string, root: string): Promise<void> {
  if (!existsSync(image)) await makeImage(image);
  // Space that dynos free goes back to the host.
  await mountImage({ image, at: root, type: "btrfs", options: ["noatime", "discard=async"], readOnly: false });
  await run("btrfs", ["quota", "enable", root]);
}

/** Made beside and renamed, so that an image that is there is whole. */
async function makeImage(image: string): Promise<void> {
  const { bavail, bsize } = await statfs(join(image, ".."));
  const size = Math.min(
    IMAGE_BYTES_MAX,
    Math.max(IMAGE_BYTES_MIN, Math.floor((bavail * bsize * SHARE_OF_FREE) / 1024 ** 2) * 1024 ** 2),
  );
  const beside = `${image}.new`;
  await rm(beside, { force: true });
  await using file = await open(beside, "wx", 0o600);
  await file.truncate(size);
  await run("mkfs.btrfs", ["--quiet", beside], { timeoutMs: 120_000 });
  await file.sync();
  await rename(beside, image);
}

class BtrfsStore implements LimitedStore {
  readonly limited = true;
  readonly #root: string;
  readonly #options: StoreOptions;
  readonly #ready: string[] = [];
  readonly #stop = new AbortController();
  readonly #deleted = new Nudge();
  readonly #taken = new Nudge();
  readonly #background: Promise<unknown>;
  #counter = 0;
  #busyAt = 0;
  readonly #doomed = new Set<string>();
  #removal: Promise<void> | undefined;

  static async open(root: string, options: StoreOptions): Promise<BtrfsStore> {
    const names = await readdir(root);
    const unfinished = names.filter((name) => UNFINISHED.test(name)).map((name) => join(root, name));
    if (unfinished.length > 0) await run("btrfs", ["subvolume", "delete", ...unfinished]);
    const ready = names.filter((name) => READY.test(name)).map((name) => join(root, name));
    return new BtrfsStore(root, options, ready);
  }

  private constructor(root: string, options: StoreOptions, ready: readonly string[]) {
    this.#root = root;
    this.#options = options;
    this.#ready.push(...ready);
    this.#background = Promise.all([this.#refill(), this.#sweep()]);
  }

  async create(name: string, sizeMb: number): Promise<string> {
    const path = join(this.#root, name);
    const ready = sizeMb === READY_MB ? this.#ready.shift() : undefined;
    this.#busyAt = this.#options.clock.now();
    this.#taken.ring();
    if (ready !== undefined) await rename(ready, path);
    else await this.#make(path, sizeMb);
    return path;
  }

  async copy(name: string, sizeMb: number, from: string): Promise<string> {
    const path = join(this.#root, name);
    const beside = join(this.#root, `new-${process.pid}-${this.#counter++}`);
    await run("btrfs", ["subvolume", "snapshot", join(this.#root, from), beside]);
    await run("btrfs", ["qgroup", "limit", "-e", `${sizeMb}M`, beside]); // what it shares with nobody
    await rename(beside, path);
    return path;
  }

  async rename(from: string, to: string): Promise<void> {
    await run("sync", ["--file-system", join(this.#root, from)]);
    await rename(join(this.#root, from), join(this.#root, to));
  }

  async ensure(name: string, sizeMb: number): Promise<string> {
    const path = join(this.#root, name);
    if (!existsSync(path)) await this.#make(path, sizeMb);
    return path;
  }

  async remove(name: string): Promise<void> {
    const path = join(this.#root, name);
    this.#busyAt = this.#options.clock.now();
    while (existsSync(path)) {
      this.#doomed.add(path);
      this.#removal ??= this.#removeDoomed().finally(() => {
        this.#removal = undefined;
      });
      await this.#removal;
    }
  }

  /** All that wait are removed by one program: when many dynos end at once, each would start its own. */
  async #removeDoomed(): Promise<void> {
    const paths = [...this.#doomed];
    this.#doomed.clear();
    const there = paths.filter((path) => existsSync(path));
    if (there.length > 0) await run("btrfs", ["subvolume", "delete", ...there], { timeoutMs: 120_000 });
    this.#deleted.ring();
  }

  list(): Promise<readonly string[]> {
    return readdir(this.#root);
  }

  async used(): Promise<ReadonlyMap<string, number>> {
    const { stdout } = await run("btrfs", ["qgroup", "show", "--raw", this.#root]);
    return volumesOf(stdout);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#background;
  }

  /** Under another name first, so that a volume without its limit is never taken for a whole one. */
  async #make(path: string, sizeMb: number): Promise<void> {
    const beside = join(this.#root, `new-${process.pid}-${this.#counter++}`);
    await run("btrfs", ["subvolume", "create", beside]);
    await run("btrfs", ["qgroup", "limit", `${sizeMb}M`, beside]);
    await chmod(beside, 0o711);
    await rename(beside, path);
  }

  async #refill(): Promise<void> {
    const { signal } = this.#stop;
    const { readyCount = READY_COUNT } = this.#options;
    while (!signal.aborted) {
      try {
        while (this.#ready.length < readyCount && !signal.aborted && this.#isQuiet()) {
          const path = join(this.#root, `ready-${randomUUID()}`);
          await this.#make(path, READY_MB);
          this.#ready.push(path);
        }
      } catch (error) {
        this.#options.logger.error("store.refill_failed", { error });
      }
      if (this.#ready.length >= readyCount) await this.#taken.wait(60_000, signal);
      await this.#options.clock.sleep(LOOK_AGAIN_MS, signal).catch(() => {}); // aborted: the loop sees it
    }
  }

  #isQuiet(): boolean {
    return this.#options.clock.now() - this.#busyAt >= REFILL_AFTER_MS;
  }

  /** Quota groups outlive their volumes, and each makes every write a little slower. */
  async #sweep(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#deleted.wait(3_600_000, signal);
      await this.#options.clock.sleep(SWEEP_AFTER_MS, signal).catch(() => {}); // aborted: the loop sees it
      // It fails for those that the kernel still works on; the next one takes them.
      if (!signal.aborted) await run("btrfs", ["qgroup", "clear-stale", this.#root]).catch(() => {});
    }
  }
}

class PlainStore implements LimitedStore {
  readonly limited = false;
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  async create(name: string): Promise<string> {
    const path = join(this.#root, name);
    await mkdir(path, { mode: 0o711 });
    return path;
  }

  async copy(name: string, _sizeMb: number, from: string): Promise<string> {
    const path = join(this.#root, name);
    await run("cp", ["--archive", "--no-target-directory", "--", join(this.#root, from), path], { timeoutMs: COPY_MS });
    return path;
  }

  async rename(from: string, to: string): Promise<void> {
    await run("sync", ["--file-system", join(this.#root, from)]);
    await rename(join(this.#root, from), join(this.#root, to));
  }

  async ensure(name: string): Promise<string> {
    const path = join(this.#root, name);
    await mkdir(path, { mode: 0o711, recursive: true });
    return path;
  }

  async remove(name: string): Promise<void> {
    await rm(join(this.#root, name), { recursive: true, force: true });
  }

  list(): Promise<readonly string[]> {
    return readdir(this.#root);
  }

  async used(): Promise<ReadonlyMap<string, number>> {
    return new Map(); // walking all files of all dynos would cost more than it tells
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
