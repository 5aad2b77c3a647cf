import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { chown, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { syncFolder } from "../../lib/atomic-file.ts";
import type { Clock } from "../../lib/clock.ts";
import { ended, run, start } from "../../lib/command.ts";
import { Late, within } from "../../lib/within.ts";
import { DYNO_UID } from "../../model/boot.ts";
import type { Instance } from "../../model/instance.ts";
import { EngineError, type SlugRef } from "../engine.ts";
import { isMounted, mountImage, unmount } from "./loop.ts";
import { Gate } from "./serial.ts";
import type { LimitedStore } from "./volume-store.ts";

export const SLUG_BYTES_MAX = 1024 ** 3;

/** Unpacked tree, and the image of it. */
const WORK_MB = 3072;
const MAKERS_AT_ONCE = 2;
/** Of all steps together, from the maker's turn on. */
const MAKE_TIMEOUT_MS = 5 * 60_000;
/** EROFS images are the same for the same tree; nothing looks at this. */
const IMAGE_UUID = "5747a7e5-1095-4d0a-9d1c-5106a1a9e5e1";
const DIGEST = /^[0-9a-f]{64}$/;

export interface SlugOptions {
  readonly instance: Instance;
  readonly store: LimitedStore;
  /** Ids of the helper's user. */
  readonly maker: { readonly uid: number; readonly gid: number };
  readonly uidStartOf: (uidIndex: number) => number;
  readonly clock: Clock;
}

const TREE = "tree-";
const treeVolumeOf = (name: string): string => `${TREE}${name}`;

export const slugMountsOf = (instance: Instance): string => join(instance.paths.host, "mnt", "slugs");

/** Images of slugs: one for each tree and range of user ids, mounted once, shared by all dynos of it. */
export class SlugImages {
  readonly #options: SlugOptions;
  readonly #images: string;
  readonly #mounts: string;
  /** Mounts under way or done. */
  readonly #mounted = new Map<string, Promise<void>>();
  /** Trees under way or done. */
  readonly #trees = new Map<string, Promise<void>>();
  readonly #makers = new Gate(MAKERS_AT_ONCE);
  #counter = 0;

  static async open(options: SlugOptions): Promise<SlugImages> {
    const images = new SlugImages(options);
    await mkdir(images.#images, { recursive: true, mode: 0o700 });
    await mkdir(images.#mounts, { recursive: true, mode: 0o711 });
    for (const name of await readdir(images.#images))
      if (!name.endsWith(".erofs")) await rm(join(images.#images, name), { force: true }); // half made
    const kept = new Set((await readdir(images.#images)).map((name) => treeVolumeOf(name.replace(/\.erofs$/, ""))));
    for (const name of await options.store.list())
      if (name.startsWith("make-") || (name.startsWith(TREE) && !kept.has(name))) await options.store.remove(name);
    return images;
  }

  private constructor(options: SlugOptions) {
    this.#options = options;
    this.#images = join(options.instance.paths.host, "slugs");
    this.#mounts = slugMountsOf(options.instance);
  }

  async has(slug: SlugRef): Promise<boolean> {
    return (await readdir(this.#images)).includes(`${nameOf(slug)}.erofs`);
  }

  /** Where the slug is mounted; it is mounted first if it is not (the machine may have rebooted). Throws `not_found`. */
  async mountOf(slug: SlugRef): Promise<string> {
    const name = nameOf(slug);
    const at = join(this.#mounts, name);
    let mounting = this.#mounted.get(name);
    if (mounting === undefined) {
      mounting = this.#mount(slug, at);
      this.#mounted.set(name, mounting);
      mounting.catch(() => this.#mounted.delete(name)); // the next one tries again
    }
    await mounting;
    return at;
  }

  async #mount(slug: SlugRef, at: string): Promise<void> {
    if (!(await this.has(slug))) throw new EngineError("not_found", `There is no image of the slug ${slug.digest}.`);
    await mkdir(at, { recursive: true });
    if (await isMounted(at)) return;
    const image = join(this.#images, `${nameOf(slug)}.erofs`);
    await mountImage({ image, at, type: "erofs", options: ["nodev", "nosuid"], readOnly: true });
  }

  /**
   * The volume whose folder `upper` holds the slug's files themselves, to be copied by reference; it is made when it is first
   * asked for. Throws `not_found`.
   */
  async treeOf(slug: SlugRef): Promise<string> {
    const name = nameOf(slug);
    let making = this.#trees.get(name);
    if (making === undefined) {
      making = this.#makeTree(slug);
      this.#trees.set(name, making);
      making.catch(() => this.#trees.delete(name)); // the next one tries again
    }
    await making;
    return treeVolumeOf(name);
  }

  async #makeTree(slug: SlugRef): Promise<void> {
    const { store } = this.#options;
    const at = await this.mountOf(slug);
    const volume = treeVolumeOf(nameOf(slug));
    if ((await store.list()).includes(volume)) return;
    const half = `make-${process.pid}-${this.#counter++}`;
    try {
      const folder = await store.create(half, WORK_MB);
      const args = ["--archive", "--no-target-directory", "--", at, join(folder, "upper")];
      await run("cp", args, { timeoutMs: MAKE_TIMEOUT_MS });
      await store.rename(half, volume);
    } catch (error) {
      await store.remove(half);
      throw error;
    }
  }

  /** Unmounts and deletes the image, unless it is used. */
  async removeUnless(slug: SlugRef, isUsed: () => boolean): Promise<void> {
    const name = nameOf(slug);
    await this.#mounted.get(name)?.catch(() => {}); // its caller was told
    await this.#trees.get(name)?.catch(() => {});
    if (isUsed()) return;
    const removed = this.#remove(name);
    // Whoever wants it meanwhile waits for us, and then finds that it is gone.
    const gone = removed.then(() => {
      throw new EngineError("not_found", `There is no image of the slug ${slug.digest}.`);
    });
    gone.catch(() => {});
    this.#mounted.set(name, gone);
    try {
      await removed;
    } finally {
      this.#mounted.delete(name);
    }
  }

  async #remove(name: string): Promise<void> {
    const at = join(this.#mounts, name);
    this.#trees.delete(name);
    await this.#options.store.remove(treeVolumeOf(name));
    await unmount(at);
    await rm(at, { recursive: true, force: true });
    await rm(join(this.#images, `${name}.erofs`), { force: true });
  }

  /** Every slug of an app's users. */
  async listOf(uidIndex: number): Promise<readonly SlugRef[]> {
    return (await readdir(this.#images))
      .map((file) => /^([0-9a-f]{64})-(\d+)\.erofs$/.exec(file))
      .filter((match) => match !== null && Number(match[2]) === uidIndex)
      .map((match) => ({ digest: match?.[1] ?? "", uidIndex }));
  }

  /**
   * Makes the image from an uncompressed tar. Everything that reads the tar runs as the helper's user, in a folder with a
   * limit, without network, and is gone afterwards. Throws `invalid` for a tar that is not the slug's, is too big or cannot
   * be unpacked without harm, and `failed` when it takes too long; then nothing is left of it.
   */
  async put(slug: SlugRef, tar: Readable): Promise<void> {
    nameOf(slug); // throws unless it is one
    await this.#makers.run(() => this.#putInTime(slug, tar));
  }

  /** Whatever hangs, those who wait for their turn get it. What cannot be ended now is taken away when the engine opens again. */
  async #putInTime(slug: SlugRef, tar: Readable): Promise<void> {
    const late = new AbortController();
    try {
      await within(this.#options.clock, MAKE_TIMEOUT_MS, "slug image", this.#put(slug, tar, late.signal));
    } catch (error) {
      if (!(error instanceof Late)) throw error;
      const why = `The slug's image was not made within ${MAKE_TIMEOUT_MS / 60_000} minutes: this machine is too busy, or its disk hangs.`;
      throw new EngineError("failed", why, error);
    } finally {
      late.abort();
      tar.destroy();
    }
  }

  async #put(slug: SlugRef, tar: Readable, signal: AbortSignal): Promise<void> {
    if (tar.destroyed) throw new EngineError("failed", "The slug broke off."); // its sender did not wait for its turn
    const volume = `make-${process.pid}-${this.#counter++}`;
    const folder = await this.#options.store.create(volume, WORK_MB);
    try {
      signal.throwIfAborted();
      const { uid, gid } = this.#options.maker;
      const work = join(folder, "work");
      for (const each of [work, join(work, "tree")]) {
        await mkdir(each, { mode: 0o700 });
        await chown(each, uid, gid);
      }
      await this.#unpack(work, slug, tar, signal);
      await this.#install(work, slug, signal);
    } finally {
      await this.#options.store.remove(volume);
    }
  }

  async #unpack(work: string, slug: SlugRef, tar: Readable, signal: AbortSignal): Promise<void> {
    const tree = join(work, "tree");
    const args = [
      "--extract",
      "--file=-",
      `--directory=${tree}`,
      "--no-same-owner",
      "--same-permissions",
      "--delay-directory-restore",
    ];
    const [program, helperArgs] = this.#asMaker(["tar", ...args]);
    const child = start(program, helperArgs, { stdio: ["pipe", "ignore", "pipe"] });
    const messages: Buffer[] = [];
    child.stderr?.on("data", (chunk: Buffer) => {
      if (messages.length < 16) messages.push(chunk);
    });
    const done = ended(child, "tar", { signal });
    done.catch(() => {}); // awaited below
    const hash = createHash("sha256");
    try {
      if (child.stdin === null) throw new Error("tar has no standard input");
      await pipeline(tar, counted(hash), child.stdin, { signal }).catch((error: unknown) => {
        if (!isBrokenPipe(error)) throw error; // tar gave up: its status says why
      });
    } catch (error) {
      child.kill("SIGKILL");
      await done;
      throw error;
    }
    const { code } = await done;
    signal.throwIfAborted();
    if (code !== 0) {
      const why = Buffer.concat(messages).toString("utf8").trim().slice(0, 500);
      throw new EngineError("invalid", `The slug cannot be unpacked: ${why || `tar ended with status ${code}`}`);
    }
    const digest = hash.digest("hex");
    if (digest !== slug.digest)
      throw new EngineError("invalid", `The slug has the digest ${digest}, not ${slug.digest} as was said.`);
    // What its owner may not read cannot get into the image.
    await run(...this.#asMaker(["chmod", "-R", "u+rX", tree]), { timeoutMs: MAKE_TIMEOUT_MS, signal });
  }

  async #install(work: string, slug: SlugRef, signal: AbortSignal): Promise<void> {
    const made = join(work, "image.erofs");
    const owner = String(this.#options.uidStartOf(slug.uidIndex) + DYNO_UID);
    const args = [
      "-T0",
      "-x-1",
      "-U",
      IMAGE_UUID,
      `--force-uid=${owner}`,
      `--force-gid=${owner}`,
      "--quiet",
      made,
      join(work, "tree"),
    ];
    await run(...this.#asMaker(["mkfs.erofs", ...args]), { timeoutMs: MAKE_TIMEOUT_MS, signal }).catch(
      (error: unknown) => {
        signal.throwIfAborted();
        throw new EngineError("invalid", "No image can be made of the slug: it is too large unpacked.", error);
      },
    );
    const image = join(this.#images, `${nameOf(slug)}.erofs`);
    const beside = `${image}.${process.pid}.${this.#counter++}.new`;
    try {
      await copyOwn(made, beside, this.#options.maker.uid); // nobody else holds this one open
      signal.throwIfAborted();
      await rename(beside, image);
    } catch (error) {
      await rm(beside, { force: true });
      throw error;
    }
    await syncFolder(this.#images);
  }

  /**
   * The helper's user: no capabilities, no network, limits, and namespaces in which nothing outlives the program that was
   * asked for.
   */
  #asMaker(command: readonly string[]): [program: string, args: readonly string[]] {
    const { uid, gid } = this.#options.maker;
    const namespaces = ["--mount", "--net", "--ipc", "--uts", "--pid", "--fork", "--kill-child"];
    const limits = ["--nproc=64", "--core=0", "--cpu=600", `--fsize=${SLUG_BYTES_MAX * 2}`, `--as=${4 * 1024 ** 3}`];
    const user = [`--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", "--no-new-privs"];
    const end = ["--pdeathsig=keep"]; // the kernel forgets what `--kill-child` asked for when the user changes
    const powers = ["--inh-caps=-all", "--bounding-set=-all"];
    const args = [
      ...namespaces,
      "--",
      "prlimit",
      ...limits,
      "--",
      "setpriv",
      ...user,
      ...powers,
      ...end,
      "--",
      ...command,
    ];
    return ["unshare", args];
  }
}

/**
 * Copies what the helper made, in a folder of the helper's: a plain file with one name, that is the helper's own and no link, or
 * root would read whatever a helper taken over by its tar points at.
 */
export async function copyOwn(from: string, to: string, owner: number): Promise<void> {
  await using source = await open(from, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  const facts = await source.stat();
  if (!facts.isFile() || facts.uid !== owner || facts.nlink !== 1 || facts.size > SLUG_BYTES_MAX * 2)
    throw new Error(`${from} is not what mkfs.erofs makes`);
  await using target = await open(to, "wx", 0o600);
  await pipeline(source.createReadStream(), target.createWriteStream({ flush: true }));
}

function nameOf({ digest, uidIndex }: SlugRef): string {
  if (!DIGEST.test(digest) || !Number.isSafeInteger(uidIndex) || uidIndex < 0)
    throw new EngineError("invalid", `${digest}-${uidIndex} is not a slug.`);
  return `${digest}-${uidIndex}`;
}

function counted(hash: ReturnType<typeof createHash>): Transform {
  let bytes = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, callback) {
      bytes += chunk.length;
      hash.update(chunk);
      if (bytes > SLUG_BYTES_MAX)
        callback(new EngineError("invalid", `The slug is too large: more than ${SLUG_BYTES_MAX / 1024 ** 2} MB.`));
      else callback(null, chunk);
    },
  });
}

function isBrokenPipe(error: unknown): boolean {
  return (
    error instanceof Error && "code" in error && (error.code === "EPIPE" || error.code === "ERR_STREAM_PREMATURE_CLOSE")
  );
}
