import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  openSync,
  readFileSync,
  renameSync,
  unwatchFile,
  watchFile,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Logger } from "./lib/logger.ts";
import type { Instance } from "./model/instance.ts";
import { HEROKU_SIZES, MEMORY_OVERCOMMIT, type SizeCatalogue, useCatalogue } from "./model/size.ts";
import { parseSizes } from "./model/size-file.ts";

/** Root's own file of sizes; the daemon and the host process each read it for themselves. */
export const sizesFileOf = ({ home }: Pick<Instance, "home">): string => join(home, "sizes.json");

/** The text of that file when it last made sense: root writes it, the daemon reads it too. */
export const lastSizesFileOf = ({ paths }: Pick<Instance, "paths">): string => join(paths.host, "sizes.last.json");

const LOOK_MS = 2000;

/**
 * Heroku's sizes and the operator's. Throws a sentence with the file and the field when it makes no sense, or when others than
 * root (or whoever runs this) may write it.
 */
export function readSizes(instance: Pick<Instance, "home">): SizeCatalogue {
  const path = sizesFileOf(instance);
  return catalogueOf(path, readOwn(path));
}

/** `text` undefined: there is no file. */
function catalogueOf(path: string, text: string | undefined): SizeCatalogue {
  if (text === undefined) return { sizes: HEROKU_SIZES, memoryOvercommit: MEMORY_OVERCOMMIT };
  try {
    return parseSizes(text);
  } catch (error) {
    throw new Error(`${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/**
 * Makes the catalogue that of the file, now and whenever it changes. A file that makes no sense is passed over with a line in
 * the operator's log, and what held goes on to hold, in a process that has just begun too; `stator up` and `stator doctor` refuse it.
 * The host process notes what held; the daemon could not.
 */
export function keepSizes(
  instance: Pick<Instance, "home" | "paths">,
  logger: Logger,
  role: "host" | "daemon",
): Disposable {
  const [path, lastPath] = [sizesFileOf(instance), lastSizesFileOf(instance)];
  let hasOne = false;
  const use = (event: string, catalogue: SizeCatalogue) => {
    useCatalogue(catalogue);
    hasOne = true;
    logger.info(event, { sizes: catalogue.sizes.length, memoryOvercommit: catalogue.memoryOvercommit });
  };
  const read = () => {
    try {
      const text = readOwn(path);
      use("sizes.read", catalogueOf(path, text));
      if (role === "host") note(lastPath, text ?? "{}", logger);
    } catch (error) {
      logger.error("sizes.refused", { error });
      if (!hasOne) useLast();
    }
  };
  const useLast = () => {
    try {
      const text = readOwn(lastPath);
      if (text !== undefined) use("sizes.last_used", catalogueOf(lastPath, text));
    } catch (error) {
      logger.error("sizes.last_refused", { error });
    }
  };
  read();
  watchFile(path, { interval: LOOK_MS, persistent: false }, read);
  return { [Symbol.dispose]: () => unwatchFile(path, read) };
}

/** At once, so that two changes are noted in their order. */
function note(path: string, text: string, logger: Logger): void {
  const beside = `${path}.tmp`;
  try {
    writeFileSync(beside, text, { mode: 0o644, flush: true });
    chmodSync(beside, 0o644); // the umask must not decide
    renameSync(beside, path);
  } catch (error) {
    logger.warn("sizes.not_noted", { error });
  }
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
