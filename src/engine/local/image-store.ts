import { randomUUID } from "node:crypto";
import { existsSync, lstatSync } from "node:fs";
import { chmod, mkdir, readdir, readlink, rm, rmdir, statfs, symlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { run } from "../../lib/command.ts";
import { filesMaxOf } from "../../model/disk.ts";
import { detachLoops, isMounted, mountImage, mountsBelow, unmount } from "./loop.ts";
import { READY_MB, ReadyVolumes } from "./ready-volumes.ts";
import { makeImage } from "./store-image.ts";
import { type LimitedStore, type Mechanism, type StoreOptions, volumesFolderOf } from "./volume-store.ts";

const COPY_MS = 10 * 60_000;
const MEBIBYTE = 1024 ** 2;
const READY = /^ready-[0-9a-f-]+$/;
const IMAGE = /^((?:ready|own)-[0-9a-f-]+)\.img$/;
const OPTIONS = ["noatime", "discard", "noinit_itable", "nosuid", "nodev"];
const BLOCK_BYTES = 4096;
/** What ext4 keeps for itself: so much for each file, and tables of the blocks. */
const FILE_BYTES = 256;
const TABLE_BYTES = 128 * 1024;
const TABLE_BYTES_PER_MB = 128;
/** For what is made to last. */
const JOURNAL_MB = 16;

const FILES = "store-images";
const imagesOf = (folder: string): string => join(folder, FILES);

/**
 * A sparse file with ext4 in a loop device for each volume, mounted on the host. Their names are links, since what is mounted
 * cannot be renamed: `store/<name>` points at the folder where the image of the same name is mounted.
 */
export const image: Mechanism = {
  files: FILES,
  async open(options) {
    const { folder } = options;
    const [images, root] = [imagesOf(folder), volumesFolderOf(folder)];
    for (const each of [images, root]) {
      await mkdir(each, { recursive: true });
      await chmod(each, 0o711);
    }
    // What is mounted in it is seen in the runtime's namespace too, also where the machine's mounts are private.
    if (!(await isMounted(images))) {
      await run("mount", ["--bind", images, images]);
      await run("mount", ["--make-shared", images]);
    }
    return ImageStore.open(options);
  },
  isThere: (folder) => existsSync(imagesOf(folder)),
  async close(folder) {
    for (const at of (await mountsBelow(imagesOf(folder))).toReversed()) await unmount(at);
  },
  async discard(folder) {
    const [images, root] = [imagesOf(folder), volumesFolderOf(folder)];
    if (!existsSync(images)) return;
    await detachLoops(images);
    await this.close(folder);
    for (const name of existsSync(root) ? await readdir(root) : [])
      if (lstatSync(join(root, name)).isSymbolicLink()) await rm(join(root, name));
    await rm(images, { recursive: true, force: true });
  },
};

class ImageStore implements LimitedStore {
  readonly mechanism = "image";
  readonly #images: string;
  readonly #root: string;
  readonly #ready: ReadyVolumes;

  static async open(options: StoreOptions): Promise<ImageStore> {
    const [images, root] = [imagesOf(options.folder), volumesFolderOf(options.folder)];
    const owned = new Set<string>();
    for (const name of await readdir(root)) {
      const id = basename(await readlink(join(root, name)));
      if (existsSync(join(images, `${id}.img`))) owned.add(id);
      else await rm(join(root, name)); // it was on its way out
    }
    const mounted = new Set((await mountsBelow(images)).map((at) => basename(at)));
    const ready: string[] = [];
    for (const file of await readdir(images)) {
      const id = IMAGE.exec(file)?.[1] ?? file.replace(/\.img(\.new)?$/, "");
      if (owned.has(id)) continue;
      if (READY.test(id) && mounted.has(id) && existsSync(join(images, `${id}.img`))) {
        if (file.endsWith(".img")) ready.push(id);
        continue;
      }
      await detachLoops(join(images, `${id}.img`));
      await destroy(images, id);
    }
    return new ImageStore(options, ready);
  }

  private constructor({ folder, clock, logger, readyCount: count }: StoreOptions, found: readonly string[]) {
    this.#images = imagesOf(folder);
    this.#root = volumesFolderOf(folder);
    this.#ready = new ReadyVolumes({ count, make: () => this.#make("ready", READY_MB, 0), found, clock, logger });
  }

  async create(name: string, sizeMb: number): Promise<string> {
    return this.#give(this.#ready.take(sizeMb) ?? (await this.#make("own", sizeMb, 0)), name);
  }

  async copy(name: string, sizeMb: number, from: string): Promise<string> {
    const source = await this.#mounted(from);
    const id = await this.#make("own", sizeMb, 0);
    const args = ["--archive", "--no-target-directory", "--", source, join(this.#images, id)];
    await run("cp", args, { timeoutMs: COPY_MS });
    return this.#give(id, name);
  }

  async rename(from: string, to: string): Promise<void> {
    const at = await this.#mounted(from);
    await run("sync", ["--file-system", at]);
    await this.#give(basename(at), to);
    await rm(join(this.#root, from));
  }

  async ensure(name: string, sizeMb: number): Promise<string> {
    if (this.#has(name)) return this.#mounted(name);
    return this.#give(await this.#make("own", sizeMb, JOURNAL_MB), name);
  }

  async remove(name: string): Promise<void> {
    this.#ready.busy();
    const link = await readlink(join(this.#root, name)).catch(() => undefined); // it is gone
    if (link === undefined) return;
    await destroy(this.#images, basename(link));
    await rm(join(this.#root, name), { force: true }); // last: by it the rest is found
  }

  list(): Promise<readonly string[]> {
    return readdir(this.#root);
  }

  async used(): Promise<ReadonlyMap<string, number>> {
    const mounted = new Set(await mountsBelow(this.#images));
    const used = new Map<string, number>();
    for (const name of await this.list()) {
      const at = join(this.#images, basename(await readlink(join(this.#root, name)).catch(() => ""))); // it just went away
      if (!mounted.has(at) || at === this.#images) continue;
      const { blocks, bfree, bsize } = await statfs(at);
      used.set(name, (blocks - bfree) * bsize);
    }
    return used;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ready[Symbol.asyncDispose]();
  }

  #has(name: string): boolean {
    return lstatSync(join(this.#root, name), { throwIfNoEntry: false }) !== undefined;
  }

  /** Relative, so that all of it can be moved. */
  async #give(id: string, name: string): Promise<string> {
    await symlink(join("..", basename(this.#images), id), join(this.#root, name));
    return join(this.#images, id);
  }

  /** Mounted again first, if the machine was restarted since it was made. */
  async #mounted(name: string): Promise<string> {
    const id = basename(await readlink(join(this.#root, name)));
    const at = join(this.#images, id);
    if (!(await isMounted(at))) await mountExt4(join(this.#images, `${id}.img`), at);
    return at;
  }

  /** Makes an image and mounts it; nobody's until a link points at it. */
  async #make(prefix: "ready" | "own", sizeMb: number, journalMb: number): Promise<string> {
    const id = `${prefix}-${randomUUID()}`;
    const at = join(this.#images, id);
    const files = filesMaxOf(sizeMb);
    const tables = files * FILE_BYTES + TABLE_BYTES + sizeMb * TABLE_BYTES_PER_MB;
    const bytes = (sizeMb + journalMb) * MEBIBYTE + Math.ceil(tables / BLOCK_BYTES) * BLOCK_BYTES;
    await makeImage(`${at}.img`, {
      bytes,
      format: (path) => format(path, files, journalMb),
      durable: journalMb > 0,
    });
    await mkdir(at, { mode: 0o711 });
    await mountExt4(`${at}.img`, at);
    await rmdir(join(at, "lost+found"));
    await chmod(at, 0o711);
    return id;
  }
}

/** No blocks for root alone, and none to grow into. A dyno's needs no journal: it does not outlive a power cut. */
async function format(path: string, files: number, journalMb: number): Promise<void> {
  const features = `^resize_inode${journalMb === 0 ? ",^has_journal" : ""}`;
  const journal = journalMb === 0 ? [] : ["-J", `size=${journalMb}`];
  const extended = "lazy_itable_init=1,nodiscard";
  const args = [
    "-q",
    "-F",
    "-b",
    String(BLOCK_BYTES),
    "-m",
    "0",
    "-N",
    String(files),
    "-O",
    features,
    ...journal,
    "-E",
    extended,
    path,
  ];
  await run("mkfs.ext4", args);
}

const mountExt4 = (file: string, at: string): Promise<void> =>
  mountImage({ image: file, at, type: "ext4", options: OPTIONS, readOnly: false });

async function destroy(images: string, id: string): Promise<void> {
  const at = join(images, id);
  await unmount(at);
  if (existsSync(at)) await rmdir(at);
  for (const each of [`${at}.img`, `${at}.img.new`]) await rm(each, { force: true });
}
