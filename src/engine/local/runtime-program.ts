import { statSync } from "node:fs";
import { copyFile, mkdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../../lib/atomic-file.ts";
import { run } from "../../lib/command.ts";
import type { Logger } from "../../lib/logger.ts";
import type { InstancePaths } from "../../model/instance.ts";
import { isMounted, mountImage, unmount } from "./loop.ts";

/**
 * crun on a read-only file system of its own, an image below the instance's home. Where its file could be written it copies itself
 * into memory at each start and starts the copy, lest a container change it by `/proc/<pid>/exe` (CVE-2019-5736): an eighth of
 * a dyno's start. An image cannot be written by anybody.
 */
export class RuntimeProgram {
  readonly #installed: string;
  readonly #copy: string;
  readonly #stamp: string;

  /** undefined: no image can be made or mounted here, and the program runs as it is installed. */
  static async open(
    paths: Pick<InstancePaths, "host">,
    installed: string,
    logger: Logger,
  ): Promise<RuntimeProgram | undefined> {
    try {
      const folder = join(paths.host, "mnt", "runtime");
      const stamp = stampOf(installed);
      const isReady = (await isMounted(folder)) && (await stampFile(paths)) === stamp;
      if (!isReady) await mountCopy(paths, { installed, folder, stamp });
      return new RuntimeProgram(installed, join(folder, NAME), stamp);
    } catch (error) {
      logger.warn("engine.runtime_not_copied", { message: `${installed} runs as it is, a little slower.`, error });
      return undefined;
    }
  }

  private constructor(installed: string, copy: string, stamp: string) {
    this.#installed = installed;
    this.#copy = copy;
    this.#stamp = stamp;
  }

  /** Once the distribution has brought another version, that one; the next host process makes an image of it. */
  get path(): string {
    return stampOf(this.#installed) === this.#stamp ? this.#copy : this.#installed;
  }
}

const NAME = "crun";
const IMAGE = "runtime.erofs";
const STAMP = "runtime.stamp";

async function mountCopy(
  { host }: Pick<InstancePaths, "host">,
  { installed, folder, stamp }: { readonly installed: string; readonly folder: string; readonly stamp: string },
): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o755 });
  await unmount(folder); // dynos that are being made from it keep it until they are
  const [tree, image] = [join(host, "runtime.new"), join(host, IMAGE)];
  await rm(tree, { recursive: true, force: true });
  await mkdir(tree, { mode: 0o755 });
  await copyFile(installed, join(tree, NAME)); // with its mode
  await rm(`${image}.new`, { force: true });
  await run("mkfs.erofs", ["--quiet", `${image}.new`, tree]);
  await rename(`${image}.new`, image);
  await rm(tree, { recursive: true });
  await mountImage({ image, at: folder, type: "erofs", options: ["nodev", "nosuid"], readOnly: true });
  await writeFileAtomic(join(host, STAMP), stamp, { mode: 0o644 }); // last: it says that all is there
}

const stampFile = ({ host }: Pick<InstancePaths, "host">): Promise<string | undefined> =>
  readFile(join(host, STAMP), "utf8").catch(() => undefined); // the first time

/** Which file the program is, and since when. */
export function stampOf(program: string): string {
  const { ino, size, mtimeMs } = statSync(program);
  return `${ino} ${size} ${mtimeMs}\n`;
}
