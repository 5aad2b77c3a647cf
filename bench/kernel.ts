import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type OwnProcess, processesOf } from "../src/cli/install/processes.ts";
import { cgroupPathOf, findCgroups } from "../src/engine/local/cgroup.ts";
import { instance, until } from "./rig.ts";

/** Everything that the kernel and the disk hold for one dyno, as paths that are there while it holds them. */
export async function heldBy(dynoId: string): Promise<readonly string[]> {
  const bundle = join(instance.paths.bundles, dynoId);
  const cgroups = await findCgroups(instance.cgroup, "");
  const { index } = JSON.parse(readFileSync(join(bundle, "network.json"), "utf8")) as { readonly index: number };
  const conmon = readFileSync(join(bundle, "conmon.pid"), "utf8").trim();
  const groups = cgroups.folders.map((folder) => join(folder, ...cgroupPathOf(cgroups, dynoId).split("/").slice(-1)));
  return [
    ...groups.filter((path) => existsSync(path)),
    `/run/netns/${instance.netnsPrefix}${index}`,
    `/sys/class/net/${instance.interfacePrefix}${index}`,
    `/proc/${conmon}`,
    join(instance.paths.host, "store", `dyno-${dynoId}`),
  ];
}

export function dynoIds(): readonly string[] {
  return readdirSync(instance.paths.bundles).filter((name) => /^[0-9a-f]{8}-/.test(name));
}

/** Until no network namespace was added for `fullMs` to those that are kept ready: there are as many as there will be. */
export async function networksFull(fullMs: number, timeoutMs?: number): Promise<void> {
  let [most, since] = [-1, performance.now()];
  const isFull = () => {
    const ready = networksReady();
    if (ready > most) [most, since] = [ready, performance.now()];
    return performance.now() - since >= fullMs;
  };
  await until(isFull, 500, timeoutMs);
}

/** How many network namespaces stand ready that no dyno ever had. */
function networksReady(): number {
  return readdirSync(join(instance.paths.run, "networks")).filter((name) => /^\d+$/.test(name)).length;
}

/** Memory that is this process's own or its share of what several map, KiB; 0 once it has gone. */
export function pssOf(pid: number): number {
  return Number(/^Pss:\s+(\d+)/m.exec(readQuietly(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0);
}

/** What the kernel holds of a process beside its memory, KiB: the stacks of its threads, its page tables. */
export function ownKernelKib(pid: number): number {
  const status = readQuietly(`/proc/${pid}/status`);
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? 0);
  return field("VmPTE") + field("Threads") * THREAD_STACK_KIB;
}

const THREAD_STACK_KIB = 16;

/** Processor time that it has used, in user and kernel, with that of children it waited for; ms. */
export function cpuOf(pid: number): number {
  const text = readQuietly(`/proc/${pid}/stat`);
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return [11, 12, 13, 14].reduce((sum, at) => sum + Number(fields[at] ?? 0), 0) * MS_A_TICK;
}

/** USER_HZ is 100 on every machine that this runs on. */
const MS_A_TICK = 10;

export interface Processes {
  /** Ours: the daemon, the host process, the keeper, HAProxy, a conmon for each dyno. */
  readonly own: readonly OwnProcess[];
  /** Init of each dyno, which the platform brings. */
  readonly inits: readonly number[];
  /** What the user's command is, in each dyno. */
  readonly users: readonly number[];
}

export function processesNow(): Processes {
  const own = processesOf(instance);
  const inits = dynoIds().map((id) => Number(readQuietly(join(instance.paths.bundles, id, "pid")))); // written by conmon
  const users = inits.flatMap((pid) => readQuietly(`/proc/${pid}/task/${pid}/children`).split(" ").map(Number));
  return { own, inits: inits.filter((pid) => pid > 0), users: users.filter((pid) => pid > 0) };
}

export interface Memory {
  /** All of the platform's own processes, dynos' watchers and inits among them. */
  readonly ownKib: number;
  readonly kernelKib: number;
}

export function memoryNow(): Memory {
  const { own, inits } = processesNow();
  const ownKib = [...own.map(({ pid }) => pid), ...inits].reduce((sum, pid) => sum + pssOf(pid), 0);
  return { ownKib, kernelKib: kernelKib() };
}

/**
 * What the kernel holds for itself, KiB: slab, stacks, page tables, per-processor areas. Caches that it would give back when asked
 * for memory are dropped before.
 */
function kernelKib(): number {
  writeFileSync("/proc/sys/vm/drop_caches", "3");
  const text = readFileSync("/proc/meminfo", "utf8");
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0);
  return ["Slab", "KernelStack", "PageTables", "Percpu"].reduce((sum, name) => sum + field(name), 0);
}

function readQuietly(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // it went while we looked
  }
}
