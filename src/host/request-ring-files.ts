import { chmod, chown, open, readdir, rename, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../lib/command.ts";
import type { Logger } from "../lib/logger.ts";
import { RING_BYTES } from "./haproxy-config.ts";

export interface RequestRingFilesOptions {
  /** Root's: HAProxy may pass, the daemon's group may read. */
  readonly folder: string;
  /** HAProxy's user, and the group of the daemon. */
  readonly owner: { readonly uid: number; readonly gid: number };
  readonly logger: Logger;
}

/** Those of workers that are gone wait so long for the daemon, and only so many of them. */
const KEPT_MS = 10 * 60_000;
const KEPT_MAX = 4;

/**
 * The files of HAProxy's rings (`RequestRing`). HAProxy begins its file anew whenever it reads its configuration, even if it only checks it,
 * and crashes when another process begins the file that it uses. So the configuration names a file, `next`, that is no one's: it is made
 * before each start, check and reload, and once a worker has it, it is named for the worker.
 */
export class RequestRingFiles {
  readonly #options: RequestRingFilesOptions;
  /** Workers that were found to be gone, and since when. */
  readonly #gone = new Map<string, number>();
  #program: { readonly seen: string; readonly fits: boolean } | undefined;

  constructor(options: RequestRingFilesOptions) {
    this.#options = options;
  }

  get next(): string {
    return join(this.#options.folder, "next");
  }

  /**
   * Whether this HAProxy keeps a ring in a file as `RequestRing` knows it, and the file would be in memory: on a disk HAProxy would wait for
   * that now and then. Asked anew when the program is another.
   */
  async suits(program: string): Promise<boolean> {
    if (!(await this.isInMemory())) return false;
    const { ino, mtimeMs, size } = await stat(program);
    const seen = `${ino} ${mtimeMs} ${size}`;
    if (this.#program?.seen !== seen) this.#program = { seen, fits: isKnown(await run(program, ["-v"])) };
    return this.#program.fits;
  }

  protected async isInMemory(): Promise<boolean> {
    return (await statfs(this.#options.folder)).type === TMPFS;
  }

  /** A new file for the worker that is to come. All its pages are there: HAProxy would die of one that cannot be had. */
  async prepare(): Promise<void> {
    const { owner } = this.#options;
    const beside = `${this.next}.new`;
    await rm(beside, { force: true });
    {
      await using file = await open(beside, "wx", 0o600);
      const zeros = Buffer.alloc(RING_BYTES / 32);
      for (let n = 0; n < 32; n++) await file.write(zeros);
    }
    await chown(beside, owner.uid, owner.gid);
    await chmod(beside, 0o640);
    await rename(beside, this.next);
  }

  /** This worker runs. A fresh one has the file that was made last; of another it is only known if none has its name. */
  async took(pid: number, isFresh: boolean): Promise<void> {
    const { folder, logger } = this.#options;
    const path = join(folder, String(pid));
    if (!isFresh && (await stat(path).catch(() => undefined)) !== undefined) return; // ENOENT: it is to be named
    await rename(this.next, path).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") logger.warn("router.ring_unnamed", { error });
    });
    this.#gone.delete(String(pid));
  }

  /** Deletes the files of workers that are gone, once the daemon has had time to read them. */
  async tidy(now: number): Promise<void> {
    const { folder } = this.#options;
    const names = (await readdir(folder)).filter((name) => /^\d+$/.test(name));
    if (names.length < 2) return;
    const gone = names.filter((name) => !isAlive(Number(name)));
    for (const name of gone) if (!this.#gone.has(name)) this.#gone.set(name, now);
    const byAge = [...this.#gone].filter(([name]) => gone.includes(name)).toSorted(([, a], [, b]) => b - a);
    for (const [index, [name, since]] of byAge.entries()) {
      if (index < KEPT_MAX && now - since < KEPT_MS) continue;
      await rm(join(folder, name), { force: true });
      this.#gone.delete(name);
    }
  }
}

/** `TMPFS_MAGIC`. */
const TMPFS = 0x0102_1994;

/** `HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/` */
function isKnown({ stdout }: { readonly stdout: string }): boolean {
  return /^HAProxy version 2\.6\.\d/.test(stdout);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}
