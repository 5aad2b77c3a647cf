import { existsSync } from "node:fs";
import { chmod, mkdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../lib/command.ts";
import { filesMaxOf } from "../../model/disk.ts";
import { FolderVolumes } from "./folder-volumes.ts";
import { LineHelper } from "./line-helper.ts";
import { isMounted, mountImage } from "./loop.ts";
import { inOneImage, makeStoreImage } from "./store-image.ts";
import { type LimitedStore, type Mechanism, type StoreOptions, volumesFolderOf } from "./volume-store.ts";

const FILE = "store-project.img";
const imageOf = (folder: string): string => join(folder, FILE);
/** Nobody's project; what is in none counts for 0. */
const FIRST_PROJECT = 1000;
const OPTIONS = ["prjquota", "noatime", "discard", "noinit_itable"];

/** One sparse file with ext4 in a loop device, and in it a folder with a project quota for each volume. */
export const project: Mechanism = {
  ...inOneImage(FILE),
  async open(options) {
    const { folder, bytesMax } = options;
    const [image, root] = [imageOf(folder), volumesFolderOf(folder)];
    await mkdir(root, { recursive: true });
    if (!(await isMounted(root))) {
      if (!existsSync(image)) await makeStoreImage(image, format, bytesMax);
      await mountImage({ image, at: root, type: "ext4", options: OPTIONS, readOnly: false });
      await rmdir(join(root, "lost+found")).catch(() => {}); // there only the first time
    }
    // crun 1.8 gives a bind mount that is not read-only the flags of its source alone, whatever the bundle asks for.
    await run("mount", ["-o", "remount,nosuid,nodev", "--", root]);
    await chmod(root, 0o711);
    return openProjects(root, options);
  },
};

/** No blocks for root alone: nobody but dynos writes here. Tables of files are written when they are first used. */
async function format(path: string): Promise<void> {
  const extended = "quotatype=prjquota,lazy_itable_init=1,lazy_journal_init=1,nodiscard";
  const args = ["-q", "-F", "-m", "0", "-O", "quota,project", "-E", extended, path];
  await run("mkfs.ext4", args, { timeoutMs: 120_000 });
}

async function openProjects(root: string, { programFolder, logger }: StoreOptions): Promise<LimitedStore> {
  const helper = new LineHelper({
    script: join(programFolder, "src/engine/local/project-quota.pl"),
    env: { STATOR_STORE: root },
  });
  try {
    const ids = projectsOf(await helper.ask("used")).map(({ id }) => id);
    let next = Math.max(FIRST_PROJECT, ...ids.map((id) => id + 1));
    const volumes = new FolderVolumes({
      root,
      logger,
      limit: (name, sizeMb) => helper.ask(`make ${next++} ${sizeMb * 1024} ${filesMaxOf(sizeMb)} ${name}`),
      removed: () => helper.ask("tidy"),
    });
    const used = async () => projectsOf(await helper.ask("used"));
    return {
      mechanism: "project",
      create: (name, sizeMb) => volumes.create(name, sizeMb),
      copy: (name, sizeMb, from) => volumes.copy(name, sizeMb, from),
      rename: (from, to) => volumes.rename(from, to),
      ensure: (name, sizeMb) => volumes.ensure(name, sizeMb),
      remove: (name) => volumes.remove(name),
      list: () => volumes.list(),
      used: async () => new Map((await used()).map(({ name, bytes }) => [name, bytes])),
      async [Symbol.asyncDispose]() {
        await volumes[Symbol.asyncDispose]();
        await helper[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await helper[Symbol.asyncDispose]();
    throw error;
  }
}

/** Folders that count for a project: `name:id:bytes:files`, between blanks. */
export function projectsOf(
  answer: string,
): readonly { readonly name: string; readonly id: number; readonly bytes: number }[] {
  return answer.split(" ").flatMap((each) => {
    const [name, id, bytes] = each.split(":");
    return name === undefined || bytes === undefined ? [] : [{ name, id: Number(id), bytes: Number(bytes) }];
  });
}
