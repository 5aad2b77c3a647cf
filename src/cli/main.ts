import { enableCompileCache } from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";

// Stripping types and compiling take 60 of the 120 ms of a command: kept in the person's cache folder. Not for root, whose
// HOME may be somebody else's after sudo: a cache is code.
if (process.getuid?.() !== 0) enableCompileCache(join(homedir(), ".cache", "stator"));
const { runCommandLine } = await import("./command-line.ts");
await runCommandLine(process.argv.slice(2));
