import { existsSync, readdirSync } from "node:fs";
import { chmod, mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../lib/command.ts";
import { FolderVolumes } from "./folder-volumes.ts";
import { type Mechanism, volumesFolderOf } from "./volume-store.ts";

/** Plain folders without limits, where this host has no mechanism at all; `doctor` says so. */
export const plain: Mechanism = {
  files: "store",
  async open({ folder, logger }) {
    const root = volumesFolderOf(folder);
    await mkdir(root, { recursive: true });
    await chmod(root, 0o711);
    const volumes = new FolderVolumes({ root, logger, limit: async () => {}, removed: async () => {} });
    return {
      mechanism: "none",
      create: (name, sizeMb) => volumes.create(name, sizeMb),
      copy: (name, sizeMb, from) => volumes.copy(name, sizeMb, from),
      rename: (from, to) => volumes.rename(from, to),
      ensure: (name, sizeMb) => volumes.ensure(name, sizeMb),
      remove: (name) => volumes.remove(name),
      list: () => volumes.list(),
      used: async () => new Map(), // walking all files of all dynos would cost more than it tells
      [Symbol.asyncDispose]: () => volumes[Symbol.asyncDispose](),
    };
  },
  isThere: (folder) => existsSync(volumesFolderOf(folder)) && readdirSync(volumesFolderOf(folder)).length > 0,
  close: async () => {},
  async discard(folder) {
    const root = volumesFolderOf(folder);
    if (!existsSync(root)) return;
    const paths = (await readdir(root)).map((name) => join(root, name));
    const args = ["--recursive", "--force", "--one-file-system", "--", ...paths];
    if (paths.length > 0) await run("rm", args, { timeoutMs: 10 * 60_000 });
  },
};
