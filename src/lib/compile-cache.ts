import { enableCompileCache, flushCompileCache } from "node:module";

/** By then a process has loaded all that it needs to run. */
const LOADED_MS = 15_000;

/**
 * Keeps compiled code in a folder that only the process's own user writes. It is written out once all is loaded, not only at the
 * end, which SIGKILL and a power cut leave out: the next start would compile everything again.
 */
export function keepCompiledCode(folder: string): void {
  enableCompileCache(folder);
  setTimeout(flushCompileCache, LOADED_MS).unref();
}
