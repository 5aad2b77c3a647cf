import { runCommandLine } from "./command-line.ts";

// bin/stator's, for this process alone: programs that we start keep nothing there.
if (process.env["NODE_COMPILE_CACHE"]?.endsWith("/.cache/stator") === true) delete process.env["NODE_COMPILE_CACHE"];
await runCommandLine(process.argv.slice(2));
