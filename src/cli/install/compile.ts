import { join } from "node:path";
import { run } from "../../lib/command.ts";
import { compileCacheOf, type Instance, NODE_OPTIONS } from "../../model/instance.ts";
import { nodeOf } from "./layout.ts";

const COMPILE_MS = 120_000; // an emulated machine takes most of a minute

/**
 * Compiles what our processes run before they run it, in processes that end: what compiling takes of memory no process gives back
 * (20 MiB each). The accounts and the daemon's folder must be there. Throws `CommandError`; whoever goes on without loses memory only.
 */
export async function compileProgram(instance: Instance, program: string): Promise<void> {
  await Promise.all((["daemon", "host", "keeper"] as const).map((role) => compileFor(role, instance, program)));
}

async function compileFor(role: "daemon" | "host" | "keeper", instance: Instance, program: string): Promise<void> {
  const { daemon } = instance.users;
  const command = [nodeOf(program) ?? process.execPath, join(program, "src", "main.ts"), `compile-${role}`];
  const powerless = ["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"];
  const asDaemon = ["setpriv", `--reuid=${daemon}`, `--regid=${daemon}`, "--init-groups", ...powerless, ...command];
  const [first = "", ...args] = role === "daemon" ? asDaemon : command;
  const env = { STATOR_HOME: instance.home, NODE_OPTIONS, NODE_COMPILE_CACHE: compileCacheOf(instance, role) };
  await run(first, args, { env, timeoutMs: COMPILE_MS });
}
