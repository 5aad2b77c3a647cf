import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Instance } from "../../model/instance.ts";
import { layoutOf } from "./layout.ts";

export type Role = "daemon" | "host" | "keeper" | "router" | "router-worker" | "conmon";

/** A process of an instance's own; dynos are counted among the apps. */
export interface OwnProcess {
  readonly role: Role;
  readonly pid: number;
  /** Folder of the program it runs from, where that can be seen. */
  readonly program: string | undefined;
}

interface Seen {
  readonly pid: number;
  readonly parent: number;
  readonly comm: string;
  readonly args: readonly string[];
  readonly home: string | undefined;
}

/**
 * Our processes, found by what the kernel says of them and nothing that we wrote down: the program's folder in the command
 * line (each instance has its own), or STATOR_HOME in the environment where we may read it.
 */
export function processesOf(instance: Instance, proc = "/proc"): readonly OwnProcess[] {
  const { programs } = layoutOf(instance);
  const all = readdirSync(proc)
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => see(proc, pid))
    .filter((seen) => seen !== undefined);
  const found = all.flatMap((seen) => {
    const role = roleOf(seen, instance, programs);
    const program = seen.args.find((arg) => arg.endsWith("/src/main.ts"))?.slice(0, -"/src/main.ts".length);
    return role === undefined ? [] : [{ role, pid: seen.pid, program, parent: seen.parent }];
  });
  const routers = new Set(found.filter((each) => each.role === "router").map((each) => each.pid));
  return found.map(({ role, pid, program, parent }) => ({
    role: role === "router" && routers.has(parent) ? "router-worker" : role,
    pid,
    program,
  }));
}

function roleOf(seen: Seen, instance: Instance, programs: string): Role | undefined {
  const main = seen.args.findIndex((arg) => arg.endsWith("/src/main.ts"));
  if (main !== -1) {
    const role = seen.args[main + 1];
    const ours = seen.home === undefined ? seen.args[main]?.startsWith(`${programs}/`) : seen.home === instance.home;
    return ours === true && (role === "daemon" || role === "host" || role === "keeper") ? role : undefined;
  }
  const mentions = seen.args.some((arg) => arg.includes(`${instance.paths.run}/`) || arg.includes(`${instance.home}/`));
  if (!mentions) return undefined;
  if (seen.comm === "haproxy") return "router";
  return seen.comm === "conmon" ? "conmon" : undefined;
}

function see(proc: string, pid: string): Seen | undefined {
  try {
    const stat = readFileSync(join(proc, pid, "stat"), "utf8");
    const close = stat.lastIndexOf(")"); // the name may hold anything
    return {
      pid: Number(pid),
      parent: Number(stat.slice(close + 2).split(" ")[1]),
      comm: stat.slice(stat.indexOf("(") + 1, close),
      args: readFileSync(join(proc, pid, "cmdline"), "utf8").split("\0"),
      home: environmentOf(join(proc, pid, "environ")),
    };
  } catch {
    return undefined; // it ended while we looked
  }
}

/** STATOR_HOME of a process; undefined where it has none or we may not look. */
function environmentOf(path: string): string | undefined {
  try {
    const line = readFileSync(path, "utf8")
      .split("\0")
      .find((each) => each.startsWith("STATOR_HOME="));
    return line?.slice("STATOR_HOME=".length);
  } catch {
    return undefined;
  }
}
