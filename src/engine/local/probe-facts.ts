import { existsSync } from "node:fs";
import { access, constants, readFile, statfs } from "node:fs/promises";
import { release } from "node:os";
import { dirname, join } from "node:path";
import { systemClock } from "../../lib/clock.ts";
import { run } from "../../lib/command.ts";
import { silentLogger } from "../../lib/logger.ts";
import { DISK_MECHANISMS, type DiskMechanism, type DiskSetting, type DiskStanding } from "../../model/disk.ts";
import type { Instance } from "../../model/instance.ts";
import { standingOf, tryOnHost } from "./disk-mechanisms.ts";
import type { RunscVersion } from "./gvisor.ts";
import { ownLimits } from "./host-limits.ts";
import { runscVersion } from "./isolations.ts";
import { type TrialResult, tryRuntime } from "./probe-trial.ts";
import { nameServers, RESOLVER_FILES, usableResolvers } from "./resolver.ts";

/** What was seen of the host; `probe-judge.ts` says what it means. null: could not be found out without root. */
export interface HostFacts {
  readonly root: boolean;
  readonly kernel: string;
  readonly architecture: string;
  readonly cgroup: { readonly kind: "v2" | "v1" | "hybrid" | "none"; readonly controllers: readonly string[] };
  /** Version of each distribution package; null: not installed. */
  readonly packages: Readonly<Record<string, string | null>>;
  readonly trials: { readonly crun: TrialResult; readonly runc: TrialResult } | null;
  /** For the isolation class of that name. `version` undefined: not installed; `trial` null: none was made. */
  readonly gvisor: { readonly version: RunscVersion | undefined; readonly trial: TrialResult | null };
  readonly userNamespacesMax: number;
  /** An error's text, or "" when rules can be loaded. */
  readonly nftError: string | null;
  /** Tables of others that drop forwarded packets unless told otherwise. */
  readonly forwardDroppedBy: readonly string[];
  /** File systems and other modules that the kernel has or can load. */
  readonly modules: readonly string[];
  readonly loopControl: boolean;
  readonly disks: {
    readonly setting: DiskSetting;
    /** What the volumes that are there lie on; null: there are none. */
    readonly standing: DiskStanding | null;
    /** Why each mechanism does not work here, "" if it does; null: none was tried. */
    readonly trials: Readonly<Partial<Record<DiskMechanism, string>>> | null;
  };
  readonly disk: { readonly path: string; readonly freeBytes: number; readonly overlay: boolean };
  readonly memory: { readonly totalBytes: number; readonly availableBytes: number };
  /** Hard limit of open files. */
  readonly filesMax: number;
  readonly sysResource: boolean;
  readonly systemd: boolean;
  readonly container: boolean;
  readonly ipv6: boolean;
  readonly resolvers: { readonly named: readonly string[]; readonly usable: readonly string[] };
}

/** Packages whose programs run dynos. */
export const RUNTIME_PACKAGES = [
  "crun",
  "runc",
  "conmon",
  "haproxy",
  "nftables",
  "iproute2",
  "erofs-utils",
  "btrfs-progs",
  "e2fsprogs",
  "mmdebstrap",
] as const;

const MODULES = ["erofs", "overlay", "btrfs", "loop", "veth", "nf_tables"] as const;
const OVERLAY_MAGIC = 0x794c7630;
const CAP_SYS_RESOURCE = 24n;

/**
 * Looks at the host; changes nothing that it does not put back. `host`: the process whose limits dynos and the router get; `setting`:
 * null where ways to limit disks need not be tried.
 */
export async function gatherFacts(
  instance: Instance,
  host: number | "self",
  setting: DiskSetting | null,
): Promise<HostFacts> {
  const root = process.getuid?.() === 0;
  const status = await text("/proc/self/status");
  const [packages, trials, gvisor, nftError, forwardDroppedBy, modules, cgroup, disk, disks, container, resolvers] =
    await Promise.all([
      packageVersions(),
      root ? tryBoth(instance) : null,
      gvisorFacts(instance, root),
      root ? tryNft(instance) : null,
      root ? droppingTables(instance) : [],
      presentModules(),
      cgroupFacts(),
      diskFacts(instance.home),
      root && setting !== null ? tryDisks(instance) : null,
      inContainer(),
      resolverFacts(),
    ]);
  const meminfo = await text("/proc/meminfo");
  return {
    root,
    kernel: release(),
    architecture: process.arch,
    cgroup,
    packages,
    trials,
    gvisor,
    userNamespacesMax: Number((await text("/proc/sys/user/max_user_namespaces")) || 0),
    nftError,
    forwardDroppedBy,
    modules,
    loopControl: existsSync("/dev/loop-control"),
    disks: { setting: setting ?? "auto", standing: standingOf(instance.paths), trials: disks },
    disk,
    memory: { totalBytes: kibibytes(meminfo, "MemTotal"), availableBytes: kibibytes(meminfo, "MemAvailable") },
    filesMax: (await ownLimits(host)).openFilesMax,
    sysResource: hasCapability(status, CAP_SYS_RESOURCE),
    systemd: existsSync("/run/systemd/system"),
    container,
    // Link-local (20) and loopback (10) addresses lead nowhere.
    ipv6: (await text("/proc/net/if_inet6")).split("\n").some((line) => / 00 \w\w +\S+$/.test(line)),
    resolvers,
  };
}

/** Whether the bounding set of `/proc/self/status` holds it. */
export function hasCapability(status: string, capability: bigint): boolean {
  const bits = /^CapBnd:\s+([0-9a-f]+)/m.exec(status)?.[1];
  return bits !== undefined && ((BigInt(`0x${bits}`) >> capability) & 1n) === 1n;
}

/** Which kind of hierarchy `/proc/self/mounts` shows, and the controllers of version 1 in it. */
export function parseCgroupMounts(mounts: string): {
  readonly kind: HostFacts["cgroup"]["kind"];
  readonly v1: readonly string[];
} {
  const rows = mounts.split("\n").map((line) => line.split(" "));
  const unified = rows.filter(([, , type]) => type === "cgroup2").map(([, at]) => at);
  const v1 = rows
    .filter(([, , type]) => type === "cgroup")
    .flatMap(([, at]) => at?.split("/").at(-1)?.split(",") ?? []);
  if (unified.includes("/sys/fs/cgroup")) return { kind: "v2", v1: [] };
  if (v1.length === 0) return { kind: "none", v1 };
  return { kind: unified.length > 0 ? "hybrid" : "v1", v1 };
}

/** Names of modules that are built in, loaded, or on disk, out of those asked for. */
export function findModules(wanted: readonly string[], filesystems: string, lists: string): readonly string[] {
  const mounted = new Set(filesystems.split(/\s+/));
  return wanted.filter((name) => mounted.has(name) || new RegExp(`/${name}\\.ko`, "m").test(lists));
}

/** Tables but ours with a base chain on `forward` whose policy is to drop; out of `nft -j list chains`. */
export function parseDroppingTables(json: string, ours: string): readonly string[] {
  const parsed: unknown = JSON.parse(json);
  const items: unknown = get(parsed, "nftables");
  if (!Array.isArray(items)) return [];
  const chains = items.map((item: unknown) => get(item, "chain"));
  const dropping = chains.filter((chain) => get(chain, "hook") === "forward" && get(chain, "policy") === "drop");
  const names = dropping.map((chain) => `${String(get(chain, "family"))} ${String(get(chain, "table"))}`);
  return [...new Set(names)].filter((name) => !name.endsWith(` ${ours}`));
}

async function packageVersions(): Promise<Readonly<Record<string, string | null>>> {
  const pairs = RUNTIME_PACKAGES.map(async (name): Promise<[string, string | null]> => {
    const asked = run("dpkg-query", ["--show", "--showformat", "${db:Status-Status} ${Version}", name]);
    const [status, version = ""] = (await asked.catch(() => ({ stdout: "" }))).stdout.split(" ");
    return [name, status === "installed" ? version : null];
  });
  return Object.fromEntries(await Promise.all(pairs));
}

async function tryBoth(instance: Instance): Promise<HostFacts["trials"]> {
  return { crun: await tryRuntime("crun", instance), runc: await tryRuntime("runc", instance) };
}

async function gvisorFacts(instance: Instance, root: boolean): Promise<HostFacts["gvisor"]> {
  const version = await runscVersion();
  return { version, trial: root && version !== undefined ? await tryRuntime("runsc", instance) : null };
}

/** Loads a table with what our rules need, checks it and throws it away: nothing changes. */
async function tryNft(instance: Instance): Promise<string> {
  const table = `${instance.nftTable}_probe`;
  const commands = [
    `add table inet ${table}`,
    `add chain inet ${table} a { type nat hook postrouting priority 100; }`,
    `add rule inet ${table} a oifname "${instance.interfacePrefix}none" masquerade`,
    `add chain inet ${table} b { type filter hook prerouting priority -300; }`,
    `add rule inet ${table} b iifname "${instance.interfacePrefix}none" fib saddr . iif oif missing drop`,
  ];
  return run("nft", ["--check", commands.join("; ")]).then(
    () => "",
    (error: unknown) => String(error instanceof Error ? error.message : error),
  );
}

async function droppingTables(instance: Instance): Promise<readonly string[]> {
  const listed = await run("nft", ["-j", "list", "chains"]).catch(() => ({ stdout: "{}" })); // `nftError` says why
  return parseDroppingTables(listed.stdout, instance.nftTable);
}

async function presentModules(): Promise<readonly string[]> {
  const folder = join("/lib/modules", release());
  const lists = await Promise.all(["modules.builtin", "modules.dep"].map((name) => text(join(folder, name))));
  const seen = MODULES.filter((name) => existsSync(join("/sys/module", name)));
  return [...new Set([...findModules(MODULES, await text("/proc/filesystems"), lists.join("\n")), ...seen])];
}

async function cgroupFacts(): Promise<HostFacts["cgroup"]> {
  const { kind, v1 } = parseCgroupMounts(await text("/proc/self/mounts"));
  const v2 = (await text("/sys/fs/cgroup/cgroup.controllers")).trim().split(" ");
  return { kind, controllers: kind === "v2" ? v2 : v1 };
}

async function diskFacts(home: string): Promise<HostFacts["disk"]> {
  let path = home;
  while (!existsSync(path)) path = dirname(path);
  const { bavail, bsize, type } = await statfs(path);
  return { path, freeBytes: bavail * bsize, overlay: type === OVERLAY_MAGIC };
}

async function tryDisks({ paths }: Instance): Promise<HostFacts["disks"]["trials"]> {
  const programFolder = join(import.meta.dirname, "..", "..", "..");
  return tryOnHost(DISK_MECHANISMS, paths, { programFolder, clock: systemClock, logger: silentLogger });
}

async function inContainer(): Promise<boolean> {
  if (existsSync("/.dockerenv") || existsSync("/run/.containerenv") || existsSync("/run/systemd/container"))
    return true;
  return /(^|\0)container=/.test(await text("/proc/1/environ"));
}

async function resolverFacts(): Promise<HostFacts["resolvers"]> {
  const [main, behind] = await Promise.all([text(RESOLVER_FILES.main), text(RESOLVER_FILES.behindStub)]);
  return { named: nameServers(main), usable: usableResolvers(main, behind) };
}

/** "" for what is missing or not ours to read: a fact too. */
async function text(path: string): Promise<string> {
  return access(path, constants.R_OK).then(
    () => readFile(path, "utf8").catch(() => ""),
    () => "",
  );
}

const kibibytes = (meminfo: string, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(meminfo)?.[1] ?? 0) * 1024;

function get(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}
