import childProcess, { ChildProcess, execFile, execSync, fork, spawn, spawnSync } from "node:child_process";
import { writeSync } from "node:fs";
import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";

/**
 * Loaded before one of our processes by `guard.test.ts`: takes hold of every way to a shell before the process can guard it,
 * waits until it has, tries them all, says what came of each, and ends the process.
 */
const unguarded = childProcess.exec;
const required = createRequire(import.meta.url)("node:child_process") as typeof childProcess;

const WAYS: Readonly<Record<string, () => unknown>> = {
  exec: () => childProcess.exec("true"),
  execSync: () => childProcess.execSync("true"),
  "execSync, imported before": () => execSync("true"),
  "required exec": () => required.exec("true"),
  "builtin exec": () => process.getBuiltinModule("node:child_process").exec("true"),
  "spawn with shell": () => childProcess.spawn("true", { shell: true }),
  "spawn with a shell of one's own": () => spawn("true", [], { shell: "/bin/sh" }),
  "spawn of a shell": () => spawn("/bin/sh", ["-c", "true"]),
  "spawn of a shell by another program": () => spawn("env", ["A=B", "bash", "-c", "true"]),
  "spawnSync of a shell": () => spawnSync("dash", ["-c", "true"]),
  "execFile of a shell": () => execFile("/usr/bin/bash", ["-c", "true"]),
  "execFile, taken before": () => required.execFile("sh", ["-c", "true"]),
  "exec, taken before": () => unguarded("true"),
  "fork by a shell": () => fork("true", [], { execPath: "/bin/sh" }),
  "a child's own spawn": () =>
    (new ChildProcess() as unknown as { spawn: (options: object) => void }).spawn({
      file: "/bin/sh",
      args: ["sh", "-c", "true"],
    }),
  "a worker": () => new Worker("", { eval: true }),
};

function outcomeOf(way: () => unknown): string {
  try {
    way();
    return "ran";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function tell(): void {
  const ways = Object.fromEntries(Object.entries(WAYS).map(([name, way]) => [name, outcomeOf(way)]));
  const honest = childProcess.spawnSync("true").status === 0 ? "ran" : "failed";
  writeSync(1, `${JSON.stringify({ ways, honest })}\n`);
}

const GIVE_UP_MS = 8000;
let told = false;
function tellOnce(): void {
  if (told) return;
  told = true;
  tell();
}

function wait(): void {
  if (childProcess.exec === unguarded && performance.now() < GIVE_UP_MS) return void setImmediate(wait);
  tellOnce();
  process.exit(0);
}
process.on("exit", tellOnce); // it may end of itself sooner
wait();
