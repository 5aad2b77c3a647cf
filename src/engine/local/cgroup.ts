import { existsSync, writeFileSync } from "node:fs";
import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../lib/clock.ts";
import { codeOf } from "../../lib/error-code.ts";
import { readKernelFile } from "./kernel-file.ts";
import { cpuMsOf } from "./usage-counters.ts";

/**
 * Control groups of an instance: `/<parent>/<instance>/<dynoId>` for dynos and `/<parent>/<instance>/conmon` for those that
 * watch over them, so that both outlive the host process's own group. Version 2, version 1, and the hybrid of both.
 */
export type CgroupKind = "v1" | "v2";

export interface Cgroups {
  readonly kind: CgroupKind;
  /** A version 2 hierarchy beside those of version 1; crun must not see it. */
  readonly hybridMount: string | null;
  /** Whether memory and swap together can be limited. */
  readonly swapLimit: boolean;
  /** Whether buffers of TCP connections are counted apart and can be limited; version 2 counts them as memory. */
  readonly tcpLimit: boolean;
  /** Whether block I/O can be limited. */
  readonly ioLimit: boolean;
  /** The instance's group, as seen from each hierarchy's root: `/stator-012abc`. */
  readonly path: string;
  /** That group's folder in each hierarchy. */
  readonly folders: readonly string[];
}

const ROOT = "/sys/fs/cgroup";
const WATCHERS = "conmon";
/** Controllers that a dyno's limits need; `io` only where the kernel has it. */
const NEEDED = ["cpu", "memory", "pids"];
const WANTED = [...NEEDED, "io"];

/** Finds the hierarchies and where this instance's groups are, without touching anything. */
export async function findCgroups(name: string, parent: string): Promise<Cgroups> {
  const mounts = parseMounts(await readFile("/proc/self/mounts", "utf8"));
  const path = join("/", parent, name);
  const unified = mounts.find((mount) => mount.type === "cgroup2");
  const v1 = mounts.filter((mount) => mount.type === "cgroup");
  if (unified?.at === ROOT) {
    const folder = join(ROOT, path);
    const controllers = (await readFile(join(ROOT, "cgroup.controllers"), "utf8")).split(/\s+/);
    const ioLimit = controllers.includes("io");
    const swapLimit = await countsSwap();
    return { kind: "v2", hybridMount: null, swapLimit, tcpLimit: false, ioLimit, path, folders: [folder] };
  }
  const memory = v1.find((mount) => mount.options.includes("memory"));
  if (memory === undefined)
    throw new Error("no control groups: neither version 2 at /sys/fs/cgroup nor memory of version 1");
  const files = await readdir(memory.at);
  const swapLimit = files.includes("memory.memsw.usage_in_bytes");
  const tcpLimit = files.includes("memory.kmem.tcp.limit_in_bytes");
  const folders = v1.map((mount) => join(mount.at, path));
  const ioLimit = v1.some((mount) => mount.options.includes("blkio"));
  return { kind: "v1", hybridMount: unified?.at ?? null, swapLimit, tcpLimit, ioLimit, path, folders };
}

/** A kernel that was built or started without it has no limit for swap. The root has no such file in any case, and our groups may not be there yet. */
async function countsSwap(): Promise<boolean> {
  const groups = (await readdir(ROOT)).filter((name) => existsSync(join(ROOT, name, "memory.max")));
  return groups.length === 0 || groups.some((name) => existsSync(join(ROOT, name, "memory.swap.max")));
}

/** What all dynos of an instance and their watchers use together, so that the host never suffers. */
export interface CommonLimits {
  readonly memoryMb: number;
  /** Processes and threads. */
  readonly pids: number;
}

/** Makes the instance's groups and the watchers' group in it. */
export async function prepareCgroups(cgroups: Cgroups, { memoryMb, pids }: CommonLimits): Promise<void> {
  for (const folder of cgroups.folders) {
    if (cgroups.kind === "v2") await delegate(folder);
    await mkdir(join(folder, WATCHERS), { recursive: true });
    if (folder.startsWith(join(ROOT, "cpuset"))) await inheritCpus(folder);
    const limit = join(folder, cgroups.kind === "v2" ? "memory.max" : "memory.limit_in_bytes");
    if (existsSync(limit)) await writeFile(limit, String(memoryMb * 1024 ** 2)).catch(ignoreBusy);
    if (existsSync(join(folder, "pids.max"))) await writeFile(join(folder, "pids.max"), String(pids));
  }
}

/** Version 1 refuses a limit that is exceeded already; that of the last start stands. */
function ignoreBusy(error: unknown): void {
  if (codeOf(error) !== "EBUSY") throw error;
}

/**
 * Moves a process out of our own group, so that nobody who ends that group ends the process too. One that has ended, since what it
 * watched over has, is nobody's any more.
 */
export async function adoptWatcher(cgroups: Cgroups, pid: number): Promise<void> {
  const files = cgroups.folders.map((folder) => join(folder, WATCHERS, "cgroup.procs"));
  await Promise.all(files.map((file) => writeFile(file, String(pid)).catch(ignoreEnded)));
}

function ignoreEnded(error: unknown): void {
  if (codeOf(error) !== "ESRCH") throw error;
}

/**
 * Version 1 counts the buffers of TCP connections apart, once it has a limit for them; runc does not set one. Version 2 counts
 * them as memory.
 */
export function limitTcpBuffers(cgroups: Cgroups, dynoId: string, bytes: number): void {
  if (!cgroups.tcpLimit) return;
  const files = cgroups.folders.map((folder) => join(folder, dynoId, "memory.kmem.tcp.limit_in_bytes"));
  for (const file of files.filter((each) => existsSync(each))) writeFileSync(file, String(bytes)); // at once, as it is read
}

export function cgroupPathOf(cgroups: Cgroups, dynoId: string): string {
  return join(cgroups.path, dynoId);
}

/**
 * Why the kernel killed a process of the dyno for its memory: its own ceiling, or memory that ran out further up (the common group's,
 * the machine's), which version 1 does not tell from it. undefined: it killed none, or the group is gone.
 */
export function memoryKillOf(cgroups: Cgroups, dynoId: string): "own" | "machine" | undefined {
  const isV2 = cgroups.kind === "v2";
  const memory = cgroups.folders.filter((folder) => isV2 || /^\/sys\/fs\/cgroup\/[^/]*memory/.test(folder));
  const texts = (memory.length > 0 ? memory : cgroups.folders).map(
    (folder) => readKernelFile(join(folder, dynoId, isV2 ? "memory.events" : "memory.oom_control")) ?? "",
  );
  if (!texts.some((text) => /^oom_kill [1-9]/m.test(text))) return undefined;
  // `oom_kill` counts what anybody's limit ended; `oom` rises in the group over its limit and above it, never below.
  return !isV2 || texts.some((text) => /^oom [1-9]/m.test(text)) ? "own" : "machine";
}

/**
 * The most memory that the dyno held at once, cache included, with swap where the kernel counts both together (version 1); null
 * where it does not keep it (version 2 before Linux 5.19), or the group is gone.
 */
export async function peakMemoryBytes(cgroups: Cgroups, dynoId: string): Promise<number | null> {
  for (const file of ["memory.memsw.max_usage_in_bytes", "memory.max_usage_in_bytes", "memory.peak"]) {
    const folder = controllerFolder(cgroups, file, existsSync);
    const text = folder && (await readFile(join(folder, dynoId, file), "utf8").catch(() => undefined)); // gone
    if (text !== undefined) return Number(text);
  }
  return null;
}

/** The instance's folder in the hierarchy whose groups have this file, as the watchers' group shows; undefined: none has. */
export function controllerFolder(
  { folders }: Cgroups,
  file: string,
  exists: (path: string) => boolean,
): string | undefined {
  return folders.find((folder) => exists(join(folder, WATCHERS, file)));
}

const known = new WeakMap<Cgroups, Map<string, string>>();

/** The same, looked for until it was found: for what is asked again and again. */
function knownFolder(cgroups: Cgroups, file: string): string | undefined {
  const files = known.get(cgroups) ?? new Map<string, string>();
  known.set(cgroups, files);
  const folder = files.get(file) ?? controllerFolder(cgroups, file, existsSync);
  if (folder !== undefined) files.set(file, folder);
  return folder;
}

/** How many processes the watchers are; undefined: this host does not count them. */
export function watcherCount(cgroups: Cgroups): number | undefined {
  const folder = knownFolder(cgroups, "pids.current");
  const text = folder === undefined ? undefined : readKernelFile(join(folder, WATCHERS, "pids.current"));
  return text === undefined ? undefined : Number(text);
}

/** Processor time that all watchers have used, those that ended too, ms; undefined: this host does not count it. */
export function watcherCpuMs(cgroups: Cgroups): number | undefined {
  const file = cgroups.kind === "v1" ? "cpuacct.usage" : "cpu.stat";
  const folder = knownFolder(cgroups, file);
  const text = folder === undefined ? undefined : readKernelFile(join(folder, WATCHERS, file));
  return text === undefined ? undefined : cpuMsOf(cgroups.kind, text);
}

/** Processes in a group of this instance, in all hierarchies. */
export async function processesOf(cgroups: Cgroups, name: string): Promise<ReadonlySet<number>> {
  const lists = await Promise.all(
    cgroups.folders.map(async (folder) => {
      const text = await readFile(join(folder, name, "cgroup.procs"), "utf8").catch(() => ""); // not there: nobody in it
      return text.split("\n").filter(Boolean).map(Number);
    }),
  );
  return new Set(lists.flat());
}

/** Names of the groups of this instance: ids of dynos, and the watchers'. */
export async function groupsOf(cgroups: Cgroups): Promise<readonly string[]> {
  const lists = await Promise.all(
    cgroups.folders.map(async (folder) => {
      const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
      return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
    }),
  );
  return [...new Set(lists.flat())];
}

/**
 * Sends a signal to every process of a dyno once, those too that were made meanwhile. Its init hands on to the command what it is
 * sent, so it gets none of its own: the command would see two. SIGKILL is for all.
 */
export async function signalGroup(cgroups: Cgroups, name: string, signal: NodeJS.Signals, clock: Clock): Promise<void> {
  const init = signal === "SIGKILL" ? undefined : [...(await processesOf(cgroups, name))].find(isInit);
  if (init !== undefined) await untilBegun(cgroups, name, init, clock);
  const told = new Set(init === undefined ? [] : [init]);
  for (let round = 0; round < SIGNAL_ROUNDS; round++) {
    const fresh = [...(await processesOf(cgroups, name))].filter((pid) => !told.has(pid));
    if (fresh.length === 0) return;
    for (const pid of fresh) {
      killQuietly(pid, signal);
      told.add(pid);
    }
  }
}

/** While a dyno's init is alone its command has not begun, and a signal would be lost. */
async function untilBegun(cgroups: Cgroups, name: string, init: number, clock: Clock): Promise<void> {
  const never = new AbortController().signal;
  for (const deadline = clock.now() + BEGIN_MS; clock.now() < deadline; await clock.sleep(ROUND_MS, never)) {
    const all = await processesOf(cgroups, name);
    if (all.size !== 1 || !all.has(init)) return;
  }
}

const BEGIN_MS = 1000;

/** Whether it is the first process of a PID namespace directly below ours, and not of one that a dyno made. */
function isInit(pid: number): boolean {
  return /^NSpid:\t\d+\t1$/m.test(readKernelFile(`/proc/${pid}/status`) ?? "");
}

/** A fork bomb makes more than any number of rounds finds; SIGKILL ends it with the first of its processes. */
const SIGNAL_ROUNDS = 5;

/** Kills everything in a group and removes it; repeatable. */
export async function killGroup(cgroups: Cgroups, name: string, clock: Clock): Promise<void> {
  const never = new AbortController().signal;
  for (let round = 0; round < KILL_ROUNDS; round++) {
    for (const pid of await processesOf(cgroups, name)) killQuietly(pid, "SIGKILL");
    if (await removeGroup(cgroups, name)) return;
    await clock.sleep(ROUND_MS, never);
  }
  throw new Error(`control group ${join(cgroups.path, name)} cannot be removed: its processes do not end`);
}

const KILL_ROUNDS = 1000;
const ROUND_MS = 10;

/** Removes the instance's own groups, once nothing is in them. */
export async function removeInstanceGroups(cgroups: Cgroups, clock: Clock): Promise<void> {
  for (const name of await groupsOf(cgroups)) await killGroup(cgroups, name, clock);
  for (const folder of cgroups.folders) await rmdir(folder).catch(ignoreMissing);
}

/** Signals a process that may have ended already. */
export function killQuietly(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    ignoreEnded(error);
  }
}

/** False if something is still in it; one that is gone is removed. */
export async function removeGroup(cgroups: Cgroups, name: string): Promise<boolean> {
  const gone = await Promise.all(cgroups.folders.map((folder) => removeTree(join(folder, name))));
  return gone.every(Boolean);
}

/** Groups may have groups inside, made by software in the dyno or by the runtime. */
async function removeTree(folder: string): Promise<boolean> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) if (entry.isDirectory()) await removeTree(join(folder, entry.name));
  try {
    await rmdir(folder);
    return true;
  } catch (error) {
    return codeOf(error) === "ENOENT"; // EBUSY: something is still in it
  }
}

/** Version 2: every group on the way gives its controllers down. */
async function delegate(folder: string): Promise<void> {
  const parts = folder.slice(ROOT.length).split("/").filter(Boolean);
  let at = ROOT;
  for (const part of parts) {
    await enableControllers(at);
    at = join(at, part);
    await mkdir(at, { recursive: true });
  }
  await enableControllers(at);
}

async function enableControllers(folder: string): Promise<void> {
  const control = join(folder, "cgroup.subtree_control");
  const enabled = (await readFile(control, "utf8")).split(/\s+/);
  const available = (await readFile(join(folder, "cgroup.controllers"), "utf8")).split(/\s+/);
  const wantedHere = WANTED.filter((each) => NEEDED.includes(each) || available.includes(each));
  const missing = wantedHere.filter((each) => !enabled.includes(each));
  if (missing.length === 0) return;
  const wanted = missing.map((each) => `+${each}`).join(" ");
  try {
    await writeFile(control, wanted);
  } catch (error) {
    if (codeOf(error) !== "EBUSY") throw error;
    await moveToLeaf(folder); // a container's root group holds its processes, and may not while it gives controllers down
    await writeFile(control, wanted);
  }
}

async function moveToLeaf(folder: string): Promise<void> {
  const leaf = join(folder, "init");
  await mkdir(leaf, { recursive: true });
  const processes = (await readFile(join(folder, "cgroup.procs"), "utf8")).split("\n").filter(Boolean);
  for (const pid of processes) await writeFile(join(leaf, "cgroup.procs"), pid).catch(() => {}); // it may have ended; kernel threads stay
}

/** Version 1: a new cpuset is empty, and an empty one takes no process. */
async function inheritCpus(folder: string): Promise<void> {
  const chain = [folder, join(folder, WATCHERS)];
  for (const each of chain) {
    for (const file of ["cpuset.cpus", "cpuset.mems"]) {
      const own = (await readFile(join(each, file), "utf8")).trim();
      if (own === "") await writeFile(join(each, file), (await readFile(join(each, "..", file), "utf8")).trim());
    }
  }
}

interface MountLine {
  readonly at: string;
  readonly type: string;
  readonly options: readonly string[];
}

function parseMounts(text: string): readonly MountLine[] {
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => {
      const [, at = "", type = "", options = ""] = line.split(" ");
      return { at, type, options: options.split(",") };
    });
}

function ignoreMissing(error: unknown): void {
  if (codeOf(error) !== "ENOENT") throw error;
}
