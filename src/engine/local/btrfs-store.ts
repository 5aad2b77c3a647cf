import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, mkdir, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../lib/clock.ts";
import { run } from "../../lib/command.ts";
import { Nudge } from "../../lib/nudge.ts";
import { isMounted, mountImage } from "./loop.ts";
import { READY_MB, ReadyVolumes } from "./ready-volumes.ts";
import { inOneImage, makeStoreImage } from "./store-image.ts";
import { volumesOf } from "./usage-counters.ts";
import { type LimitedStore, type Mechanism, type StoreOptions, UNFINISHED, volumesFolderOf } from "./volume-store.ts";

const READY = /^ready-/;
/** The kernel needs this long to forget a deleted volume, whose quota group can go then. */
const SWEEP_AFTER_MS = 40_000;

const FILE = "store.img";
const imageOf = (folder: string): string => join(folder, FILE);

/** One sparse file with btrfs in a loop device, and in it a subvolume with a quota group for each volume. */
export const btrfs: Mechanism = {
  ...inOneImage(FILE),
  async open(options) {
    const { folder, bytesMax } = options;
    const [image, root] = [imageOf(folder), volumesFolderOf(folder)];
    await mkdir(root, { recursive: true });
    if (!(await isMounted(root))) {
      if (!existsSync(image))
        await makeStoreImage(image, (path) => run("mkfs.btrfs", ["--quiet", path], { timeoutMs: 120_000 }), bytesMax);
      // Space that dynos free goes back to the host.
      await mountImage({ image, at: root, type: "btrfs", options: ["noatime", "discard=async"], readOnly: false });
    }
    await run("btrfs", ["quota", "enable", root]); // does nothing where they are
    // crun 1.8 gives a bind mount that is not read-only the flags of its source alone, whatever the bundle asks for.
    await run("mount", ["-o", "remount,nosuid,nodev", "--", root]);
    await chmod(root, 0o711);
    return BtrfsStore.open(root, options);
  },
};

class BtrfsStore implements LimitedStore {
  readonly mechanism = "btrfs";
  readonly #root: string;
  readonly #clock: Clock;
  readonly #ready: ReadyVolumes;
  readonly #stop = new AbortController();
  readonly #deleted = new Nudge();
  readonly #sweeping: Promise<void>;
  #counter = 0;
  readonly #doomed = new Set<string>();
  #removal: Promise<void> | undefined;

  static async open(root: string, options: StoreOptions): Promise<BtrfsStore> {
    const names = await readdir(root);
    const unfinished = names.filter((name) => UNFINISHED.test(name)).map((name) => join(root, name));
    if (unfinished.length > 0) await run("btrfs", ["subvolume", "delete", ...unfinished]);
    const ready = names.filter((name) => READY.test(name)).map((name) => join(root, name));
    return new BtrfsStore(root, options, ready);
  }

  private constructor(root: string, { clock, logger, readyCount: count }: StoreOptions, found: readonly string[]) {
    this.#root = root;
    this.#clock = clock;
    this.#ready = new ReadyVolumes({ count, make: () => this.#makeReady(), found, clock, logger });
    this.#sweeping = this.#sweep();
  }

  async create(name: string, sizeMb: number): Promise<string> {
    const path = join(this.#root, name);
    const ready = this.#ready.take(sizeMb);
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
    this.#ready.busy();
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

  /** As of the last commit. */
  async used(): Promise<ReadonlyMap<string, number>> {
    const { stdout } = await run("btrfs", ["qgroup", "show", "--raw", this.#root]);
    return volumesOf(stdout);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#ready[Symbol.asyncDispose]();
    await this.#sweeping;
  }

  async #makeReady(): Promise<string> {
    const path = join(this.#root, `ready-${randomUUID()}`);
    await this.#make(path, READY_MB);
    return path;
  }

  /** Under another name first, so that a volume without its limit is never taken for a whole one. */
  async #make(path: string, sizeMb: number): Promise<void> {
    const beside = join(this.#root, `new-${process.pid}-${this.#counter++}`);
    await run("btrfs", ["subvolume", "create", beside]);
    await run("btrfs", ["qgroup", "limit", `${sizeMb}M`, beside]);
    await chmod(beside, 0o711);
    await rename(beside, path);
  }

  /** Quota groups outlive their volumes, and each makes every write a little slower. */
  async #sweep(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#deleted.wait(3_600_000, signal);
      await this.#clock.sleep(SWEEP_AFTER_MS, signal).catch(() => {}); // aborted: the loop sees it
      // It fails for those that the kernel still works on; the next one takes them.
      if (!signal.aborted) await run("btrfs", ["qgroup", "clear-stale", this.#root]).catch(() => {});
    }
  }
}
