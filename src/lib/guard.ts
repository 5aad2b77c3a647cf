import childProcess, { type SpawnOptions } from "node:child_process";
import { syncBuiltinESMExports } from "node:module";
import { refuseShell } from "./command.ts";

/**
 * The run-time half of "no shell on the host" (the lint rule is the other): after this, every way that Node has of starting
 * a program, ours or a library's, refuses shells and string commands. Called first thing by every process of ours.
 */
export function guardAgainstShells(): void {
  const refused = (name: string) => () => {
    throw new Error(`refused: child_process.${name} runs a string in a shell; no shell runs on the host`);
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

function isOptions(value: unknown): value is SpawnOptions {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
