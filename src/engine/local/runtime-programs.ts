import { existsSync, statSync } from "node:fs";
import { copyFile, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../../lib/atomic-file.ts";
import { run } from "../../lib/command.ts";
import { withoutLibrary } from "../../lib/elf.ts";
import type { Logger } from "../../lib/logger.ts";
import type { InstancePaths } from "../../model/instance.ts";
import { isMounted, mountImage, unmount } from "./loop.ts";

/** Where the distribution puts the programs that make containers and watch over them. */
export const installed = (name: "crun" | "runc" | "runsc" | "conmon"): string => `/usr/bin/${name}`;

/**
 * crun and conmon on a read-only file system of their own, an image below the instance's home, which nobody can write.
 *
 * - Where crun's file could be written it copies itself into memory at each start and starts the copy, lest a container change it by
 *   `/proc/<pid>/exe` (CVE-2019-5736): an eighth of a dyno's start.
 * - conmon is there without `libsystemd`, of which it uses one function, for a way of logging that is not ours. With the seven
 *   libraries that this brings it is a third of what a conmon holds, and there is one for each dyno.
 */
export class RuntimePrograms {
  readonly #folder: string;
  /** Of the installed ones, as they were when their copies were made; those that have one. */
  readonly #stamps: ReadonlyMap<Name, string>;

  /** undefined: no image can be made or mounted here, and the programs run as they are installed. */
  static async open(paths: Pick<InstancePaths, "host">, logger: Logger): Promise<RuntimePrograms | undefined> {
    try {
      const folder = join(paths.host, "mnt", "runtime");
      const names = NAMES.filter((name) => existsSync(installed(name))); // runc may be there in crun's place
      const stamps = new Map(names.map((name) => [name, stampOf(installed(name))]));
      const all = [LAYOUT, ...stamps.values()].join("");
      const isReady = (await isMounted(folder)) && (await stampFile(paths)) === all;
      if (!isReady) await mountCopies(paths, { folder, stamp: all, logger });
      for (const name of names) if (!existsSync(join(folder, name))) stamps.delete(name);
      return new RuntimePrograms(folder, stamps);
    } catch (error) {
      const message = "crun and conmon run as they are installed, a little slower and larger.";
      logger.warn("engine.runtime_not_copied", { message, error });
      return undefined;
    }
  }

  private constructor(folder: string, stamps: ReadonlyMap<Name, string>) {
    this.#folder = folder;
    this.#stamps = stamps;
  }

  /** Once the distribution has brought another version, that one; the next host process makes an image of it. */
  path(name: Name): string {
    return stampOf(installed(name)) === this.#stamps.get(name) ? join(this.#folder, name) : installed(name);
  }
}

const NAMES = ["crun", "conmon"] as const;
type Name = (typeof NAMES)[number];
const IMAGE = "runtime.erofs";
const STAMP = "runtime.stamp";
/** What is in the image, and how: another one is made where this changes. */
const LAYOUT = "2\n";

async function mountCopies(
  { host }: Pick<InstancePaths, "host">,
  { folder, stamp, logger }: { readonly folder: string; readonly stamp: string; readonly logger: Logger },
): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o755 });
  await unmount(folder); // dynos that are being made from it keep it until they are, and conmons until they end
  const [tree, image] = [join(host, "runtime.new"), join(host, IMAGE)];
  await rm(tree, { recursive: true, force: true });
  await mkdir(tree, { mode: 0o755 });
  if (existsSync(installed("crun"))) await copyFile(installed("crun"), join(tree, "crun")); // with its mode
  if (existsSync(installed("conmon"))) await addLeanConmon(join(tree, "conmon"), logger);
  await rm(`${image}.new`, { force: true });
  await run("mkfs.erofs", ["--quiet", `${image}.new`, tree]);
  await rename(`${image}.new`, image);
  await rm(tree, { recursive: true });
  await mountImage({ image, at: folder, type: "erofs", options: ["nodev", "nosuid"], readOnly: true });
  await writeFileAtomic(join(host, STAMP), stamp, { mode: 0o644 }); // last: it says that all is there
}

/** Functions of `libsystemd` that conmon calls only for the log driver `journald`. */
const JOURNAL = /^sd_journal_sendv?(_with_location)?$/;

/** A conmon that was built otherwise, or does not run so, is left as it is installed until another version of it comes. */
async function addLeanConmon(program: string, logger: Logger): Promise<void> {
  try {
    const lean = leanConmon(await readFile(installed("conmon")));
    if (lean === undefined) return;
    await writeFile(program, lean, { mode: 0o755 });
    await run(program, ["--version"]);
  } catch (error) {
    logger.warn("engine.conmon_not_lean", { message: "conmon runs as it is installed, a little larger.", error });
    await rm(program, { force: true });
  }
}

/** undefined: it has no need of the library, or more need than we know of. Throws where it is no program. */
export function leanConmon(original: Buffer): Buffer | undefined {
  const lean = withoutLibrary(original, "libsystemd.so.0");
  return lean?.lost.every((name) => JOURNAL.test(name)) === true ? lean.program : undefined;
}

const stampFile = ({ host }: Pick<InstancePaths, "host">): Promise<string | undefined> =>
  readFile(join(host, STAMP), "utf8").catch(() => undefined); // the first time

/** Which file the program is, and since when. */
export function stampOf(program: string): string {
  const { ino, size, mtimeMs } = statSync(program);
  return `${ino} ${size} ${mtimeMs}\n`;
}
