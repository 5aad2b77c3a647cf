import childProcess, { ChildProcess, type SpawnOptions } from "node:child_process";
import { syncBuiltinESMExports } from "node:module";
import workers from "node:worker_threads";
import { refuseShell } from "./command.ts";

/**
 * The run-time half of "no shell on the host" (the lint rule is the other): after this, every way that Node has of starting
 * a program, ours or a library's, refuses shells and string commands. Called first thing by every process of ours.
 */
export function guardAgainstShells(): void {
  const refused = (name: string) =>
    function refuse(): never {
      throw new Error(`refused: ${name} could run a string in a shell; no shell runs on the host`);
    };
  const { spawn, spawnSync, execFile, execFileSync, fork } = childProcess;
  const guarded =
    <T extends (...args: never[]) => unknown>(original: T) =>
    (...args: Parameters<T>): unknown => {
      const [program, ...rest] = args as unknown as readonly unknown[];
      const list = rest.find(Array.isArray) as readonly string[] | undefined;
      const options = rest.find((each) => isOptions(each));
      if (options?.shell !== undefined && options.shell !== false) refused("spawn({ shell })")();
      refuseShell(String(program), (list ?? []).map(String));
      return original(...args);
    };
  guardAllChildren(refused("spawn({ shell })"));
  // A worker has functions of its own, which nobody has guarded; nothing of ours has one.
  Object.assign(workers, { Worker: refused("Worker") });
  Object.assign(childProcess, {
    exec: refused("exec"),
    execSync: refused("execSync"),
    spawn: guarded(spawn),
    spawnSync: guarded(spawnSync),
    execFile: guarded(execFile as never),
    execFileSync: guarded(execFileSync as never),
    fork,
  });
  syncBuiltinESMExports();
}

/** What `exec`, `execFile`, `spawn` and `fork` all come down to, for whoever took hold of one of them before us. */
function guardAllChildren(refuse: () => never): void {
  const prototype = ChildProcess.prototype as unknown as { spawn: (options: SpawnedBy) => unknown }; // not in its types
  const original = prototype.spawn;
  prototype.spawn = function spawn(this: unknown, options: SpawnedBy): unknown {
    if (options.shell !== undefined && options.shell !== false) refuse();
    const [, ...args] = options.args ?? []; // the first is the program's name again
    refuseShell(options.file, args);
    return original.call(this as typeof prototype, options);
  };
}

interface SpawnedBy {
  readonly file: string;
  readonly args?: readonly string[];
  readonly shell?: boolean | string;
}

function isOptions(value: unknown): value is SpawnOptions {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
