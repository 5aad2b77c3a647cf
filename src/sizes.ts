import { closeSync, constants, fstatSync, openSync, readFileSync, unwatchFile, watchFile } from "node:fs";
import { join } from "node:path";
import type { Logger } from "./lib/logger.ts";
import type { Instance } from "./model/instance.ts";
import { HEROKU_SIZES, MEMORY_OVERCOMMIT, type SizeCatalogue, useCatalogue } from "./model/size.ts";
import { parseSizes } from "./model/size-file.ts";

/** Root's own file of sizes; the daemon and the host process each read it for themselves. */
export const sizesFileOf = ({ home }: Pick<Instance, "home">): string => join(home, "sizes.json");

const LOOK_MS = 2000;

/**
 * Heroku's sizes and the operator's. Throws a sentence with the file and the field when it makes no sense, or when others than
 * root (or whoever runs this) may write it.
 */
export function readSizes(instance: Pick<Instance, "home">): SizeCatalogue {
  const path = sizesFileOf(instance);
  const text = readOwn(path);
  if (text === undefined) return { sizes: HEROKU_SIZES, memoryOvercommit: MEMORY_OVERCOMMIT };
  try {
    return parseSizes(text);
  } catch (error) {
    throw new Error(`${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/**
 * Makes the catalogue that of the file, now and whenever it changes. A file that makes no sense is passed over with a line in
 * the operator's log, and what held goes on to hold; `stator up` and `stator doctor` refuse it.
 */
export function keepSizes(instance: Pick<Instance, "home">, logger: Logger): Disposable {
  const path = sizesFileOf(instance);
  const read = () => {
    try {
      const catalogue = readSizes(instance);
      useCatalogue(catalogue);
      logger.info("sizes.read", { sizes: catalogue.sizes.length, memoryOvercommit: catalogue.memoryOvercommit });
    } catch (error) {
      logger.error("sizes.refused", { error });
    }
  };
  read();
  watchFile(path, { interval: LOOK_MS, persistent: false }, read);
  return { [Symbol.dispose]: () => unwatchFile(path, read) };
}

function readOwn(path: string): string | undefined {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
  try {
    const { uid, mode } = fstatSync(file);
    if ((uid !== 0 && uid !== process.getuid?.()) || (mode & 0o022) !== 0)
      throw new Error(`${path} must belong to root, and nobody else may write it: chown root, chmod 644`);
    return readFileSync(file, "utf8");
  } finally {
    closeSync(file);
  }
}
