import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../lib/command.ts";
import type { Logger } from "../../lib/logger.ts";
import { GONE, UNFINISHED } from "./volume-store.ts";

export interface FolderOptions {
  readonly root: string;
  readonly logger: Logger;
  /** Limits an empty folder. */
  readonly limit: (name: string, sizeMb: number) => Promise<unknown>;
  /** Called when folders are gone with all that was in them. */
  readonly removed: () => Promise<unknown>;
}

const COPY_MS = 10 * 60_000;
const REMOVE_MS = 10 * 60_000;

/**
 * Volumes that are plain folders in one file system. A folder is made under another name first, so that one without its limit
 * is never taken for a whole one; one that was given back loses its name at once, and its files one after the other.
 */
export class FolderVolumes implements AsyncDisposable {
  readonly #options: FolderOptions;
  readonly #root: string;
  readonly #stop = new AbortController();
  #removal: Promise<void> | undefined;
  readonly #unfinished = new Set<string>();

  /** What an earlier process left is taken away in the background. */
  constructor(options: FolderOptions) {
    this.#options = options;
    this.#root = options.root;
    this.#sweep();
  }

  async create(name: string, sizeMb: number): Promise<string> {
    return this.#make(name, sizeMb, async () => {});
  }

  async copy(name: string, sizeMb: number, from: string): Promise<string> {
    return this.#make(name, sizeMb, async (beside) => {
      const args = ["--archive", "--no-target-directory", "--", join(this.#root, from), beside];
      await run("cp", args, { timeoutMs: COPY_MS });
    });
  }

  async rename(from: string, to: string): Promise<void> {
    await run("sync", ["--file-system", join(this.#root, from)]);
    await rename(join(this.#root, from), join(this.#root, to));
  }

  async ensure(name: string, sizeMb: number): Promise<string> {
    const path = join(this.#root, name);
    return existsSync(path) ? path : this.create(name, sizeMb);
  }

  async remove(name: string): Promise<void> {
    const path = join(this.#root, name);
    if (!existsSync(path)) return;
    await rename(path, join(this.#root, `gone-${randomUUID()}`));
    this.#sweep();
  }

  async list(): Promise<readonly string[]> {
    return (await readdir(this.#root)).filter((name) => !GONE.test(name) && !UNFINISHED.test(name) && name !== LOST);
  }

  /** Whatever is left to be taken away is, by whoever opens it next. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#removal;
  }

  async #make(name: string, sizeMb: number, fill: (beside: string) => Promise<void>): Promise<string> {
    const beside = `new-${randomUUID()}`;
    const path = join(this.#root, name);
    this.#unfinished.add(beside);
    try {
      await mkdir(join(this.#root, beside), { mode: 0o711 });
      await this.#options.limit(beside, sizeMb);
      await fill(join(this.#root, beside));
      await rename(join(this.#root, beside), path);
    } catch (error) {
      this.#unfinished.delete(beside);
      this.#sweep();
      throw error;
    }
    this.#unfinished.delete(beside);
    return path;
  }

  #sweep(): void {
    this.#removal ??= this.#removeGone()
      .catch((error: unknown) => {
        if (!this.#stop.signal.aborted) this.#options.logger.error("store.remove_failed", { error });
      })
      .finally(() => {
        this.#removal = undefined;
      });
  }

  /** As long as there are any: more may be given back meanwhile. */
  async #removeGone(): Promise<void> {
    const left = async () => (await readdir(this.#root)).filter((name) => GONE.test(name) || this.#isLeft(name));
    for (let names = await left(); names.length > 0; names = await left()) {
      const paths = names.map((name) => join(this.#root, name));
      // The program, not Node's own: it goes down folder by folder, so that no path is too long, and follows no link.
      const args = ["--recursive", "--force", "--one-file-system", "--", ...paths];
      await run("rm", args, { timeoutMs: REMOVE_MS, signal: this.#stop.signal });
      await this.#options.removed();
    }
  }

  /** Half made, by an earlier process or without success. */
  #isLeft(name: string): boolean {
    return UNFINISHED.test(name) && !this.#unfinished.has(name);
  }
}

/** ext4 makes it in its root. */
const LOST = "lost+found";
