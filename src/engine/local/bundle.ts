import { BASE_ENVIRONMENT, bootArguments, DYNO_UID } from "../../model/boot.ts";
import type { DynoSize } from "../../model/size.ts";
import type { DynoSpec } from "../engine.ts";
import type { CgroupKind } from "./cgroup.ts";
import type { DynoNetwork } from "./network.ts";
import type { SeccompProfile } from "./seccomp.ts";
import type { BlockDevice } from "./store-device.ts";

/** What a dyno's container is made of; everything on the host that it refers to is there already. */
export interface BundleParts {
  readonly spec: DynoSpec;
  readonly size: DynoSize;
  /** The app's range of user ids begins here. */
  readonly uidStart: number;
  readonly network: DynoNetwork;
  readonly cgroupPath: string;
  readonly folders: BundleFolders;
  /** Whether scripts may be there that come before its command. */
  readonly hasProfile: boolean;
  readonly limits: HostLimits;
  readonly seccomp: SeccompProfile;
}

export interface BundleFolders {
  /** The mounted stack. */
  readonly stack: string;
  /** The mounted slug, or an empty folder. */
  readonly slug: string;
  /** The dyno's own part of the limited store. */
  readonly disk: DiskFolders;
  readonly hosts: string;
  readonly resolvConf: string;
  readonly common: CommonMounts;
  /** Says the quota where programs look for their limit; undefined: they see the kernel's own. */
  readonly memoryLimit?: { readonly source: string; readonly destination: string } | undefined;
  /** Build dynos only. */
  readonly build: BuildFolders | null;
}

export interface DiskFolders {
  readonly upper: string;
  readonly work: string;
  readonly tmp: string;
  readonly varTmp: string;
}

export interface BuildFolders {
  readonly repo: string;
  readonly cache: string;
  /** Holds `io.sock`. */
  readonly io: string;
  readonly toolchain: string;
  readonly buildkit: string;
  /** The machine's extra CA; null: it uses none. */
  readonly ca: string | null;
}

/** What containers have in common, so that the kernel keeps it once and not for each. */
export interface CommonMounts {
  /** What all see as `/dev`; null: each has its own. */
  readonly devices: string | null;
  /** An empty folder that lies over these of `/proc`; the runtime would take a file system for each. */
  readonly cover: { readonly empty: string; readonly folders: readonly string[] };
}

/** Nothing: every dyno has its own. */
export const NOTHING_COMMON: CommonMounts = { devices: null, cover: { empty: "", folders: [] } };

/** What this host cannot give more of. */
export interface HostLimits {
  readonly cgroup: CgroupKind;
  /** Whether memory and swap together can be limited. */
  readonly swapLimit: boolean;
  /** Highest number of open files that we may allow a process. */
  readonly openFilesMax: number;
  readonly processesMax: number;
  /** Processes and threads that one dyno may have, whatever its size says: a share of the machine's. */
  readonly pidsMax?: number;
  readonly pendingSignalsMax?: number;
  readonly messageQueueBytesMax?: number;
  /** The disk on which block I/O is limited; undefined: it cannot be. */
  readonly device?: BlockDevice | undefined;
}

const IDS = 65_536;
const MEBIBYTE = 1024 * 1024;
const CPU_PERIOD_US = 100_000;
/** Spec 11. */
const OPEN_FILES = 10_000;
/**
 * Both are counted for root too, who made all dynos' user namespaces, up to root's own limit (which our unit sets to infinity):
 * a dyno gets what programs need, and no more than this share of root's.
 */
const PENDING_SIGNALS = 1024;
const MESSAGE_QUEUE_BYTES = 98_304; // one of the default length
const DYNOS_OF_ROOT = 64;

/** A dyno's share of what is counted for root too. */
export function shareOfRoot(limits: Pick<HostLimits, "pendingSignalsMax" | "messageQueueBytesMax">): {
  readonly pendingSignals: number;
  readonly messageQueueBytes: number;
} {
  const share = (wanted: number, all = Number.MAX_SAFE_INTEGER) => Math.min(wanted, Math.floor(all / DYNOS_OF_ROOT));
  return {
    pendingSignals: share(PENDING_SIGNALS, limits.pendingSignalsMax),
    messageQueueBytes: share(MESSAGE_QUEUE_BYTES, limits.messageQueueBytesMax),
  };
}
/** Terminals, of which the machine has a number for all. */
const TERMINALS = 64;
/** When the machine itself runs out, dynos go before anything of the host's. */
const OOM_SCORE = 500;

/**
 * The OCI configuration of a dyno (architecture, decisions 2, 3 and 5). Pure.
 *
 * gVisor's differs (docs/decisions/0018): no seccomp profile and no masked paths of ours, since the dyno's system calls and its
 * `/proc` are its own kernel's, and what that may ask of the machine's kernel is filtered by runsc itself, more narrowly than
 * ours; no overlay, which it does not know: `/app` is the dyno's own copy; no cgroup mount, which it does not need.
 */
export function bundleOf(parts: BundleParts): unknown {
  const { spec, size, uidStart, network, cgroupPath, folders, hasProfile, limits, seccomp } = parts;
  const isGvisor = spec.isolation === "gvisor";
  const mapping = [{ containerID: 0, hostID: uidStart, size: IDS }];
  return {
    ociVersion: "1.0.2",
    root: { path: folders.stack, readonly: true },
    hostname: spec.id,
    process: {
      terminal: spec.terminal !== null,
      ...(spec.terminal && { consoleSize: { height: spec.terminal.rows, width: spec.terminal.columns } }),
      user: { uid: DYNO_UID, gid: DYNO_UID },
      args: bootArguments(spec.command, hasProfile),
      env: environmentOf(spec.env),
      cwd: "/app",
      capabilities: { bounding: [], effective: [], inheritable: [], permitted: [], ambient: [] },
      noNewPrivileges: true,
      oomScoreAdj: OOM_SCORE,
      rlimits: [
        limit("RLIMIT_NOFILE", Math.min(OPEN_FILES, limits.openFilesMax)),
        limit("RLIMIT_NPROC", Math.min(size.pidsMax, limits.processesMax)), // buildpacks tell the size by `ulimit -u`
        limit("RLIMIT_CORE", 0),
        limit("RLIMIT_SIGPENDING", shareOfRoot(limits).pendingSignals),
        limit("RLIMIT_MSGQUEUE", shareOfRoot(limits).messageQueueBytes),
      ],
    },
    mounts: isGvisor ? gvisorMountsOf(folders) : mountsOf(folders),
    linux: {
      namespaces: [
        { type: "user" },
        { type: "mount" },
        { type: "pid" },
        { type: "ipc" },
        { type: "uts" },
        ...(isGvisor ? [] : [{ type: "cgroup" }]),
        { type: "network", path: network.netnsPath },
      ],
      uidMappings: mapping,
      gidMappings: mapping,
      cgroupsPath: cgroupPath,
      resources: resourcesOf(spec, isGvisor ? { ...size, pidsMax: gvisorThreads(size.pidsMax) } : size, limits),
      ...(!isGvisor && {
        seccomp,
        maskedPaths: MASKED.filter((each) => !folders.common.cover.folders.includes(each)),
        readonlyPaths: READ_ONLY,
      }),
    },
  };
}

/**
 * Threads of the machine that a dyno of so many processes takes on gVisor: those of its kernel, and two for each process
 * (measured: 38 with three processes, 78 with 22).
 */
const gvisorThreads = (processes: number): number => 64 + 2 * processes;

/** What `/etc/hosts` says inside. */
export function hostsOf(id: string, network: DynoNetwork): string {
  return `127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n${network.address}\t${id}\n`;
}

/** What `/etc/resolv.conf` says inside. */
export function resolvConfOf(network: DynoNetwork): string {
  return `nameserver ${network.gateway}\n`;
}

/**
 * Where programs and buildpacks look how much memory they have, to size heaps and workers: they should read the quota, as at
 * Heroku, not the ceiling at which they are killed. undefined: both are the same.
 */
export function memoryLimitFile(size: DynoSize, cgroup: CgroupKind): string | undefined {
  if (size.memoryCeilingMb === size.memoryMb) return undefined;
  return cgroup === "v2" ? "/sys/fs/cgroup/memory.max" : "/sys/fs/cgroup/memory/memory.limit_in_bytes";
}

/** What that file says. */
export const memoryLimitOf = (size: DynoSize): string => `${size.memoryMb * MEBIBYTE}\n`;

function environmentOf(env: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries({ ...BASE_ENVIRONMENT, ...env }).map(([name, value]) => `${name}=${value}`);
}

function limit(type: string, value: number): { readonly type: string; readonly soft: number; readonly hard: number } {
  return { type, soft: value, hard: value };
}

function resourcesOf(spec: DynoSpec, size: DynoSize, limits: HostLimits): unknown {
  const memory = size.memoryCeilingMb * MEBIBYTE;
  return {
    devices: [{ allow: false, access: "rwm" }],
    memory: {
      limit: memory,
      ...(limits.swapLimit && { swap: memory + size.swapMb * MEBIBYTE }), // the sum of both
    },
    cpu: {
      shares: size.cpuShares,
      ...(size.cpuPercentMax > 0 && { period: CPU_PERIOD_US, quota: (size.cpuPercentMax * CPU_PERIOD_US) / 100 }),
    },
    pids: { limit: Math.min(size.pidsMax, limits.pidsMax ?? size.pidsMax) },
    ...(limits.device && { blockIO: blockIoOf(size, limits.device) }),
    // At the ceiling the whole dyno ends, not one process of it. Version 1 has no such thing: the engine sees to it. A build
    // lives on, to say which of its programs wanted too much.
    ...(limits.cgroup === "v2" && spec.kind !== "build" && { unified: { "memory.oom.group": "1" } }),
  };
}

function blockIoOf({ io }: DynoSize, { major, minor }: BlockDevice): unknown {
  const each = (rate: number) => [{ major, minor, rate }];
  return {
    throttleReadBpsDevice: each(io.readMbPerSecond * MEBIBYTE),
    throttleWriteBpsDevice: each(io.writeMbPerSecond * MEBIBYTE),
    throttleReadIOPSDevice: each(io.readOpsPerSecond),
    throttleWriteIOPSDevice: each(io.writeOpsPerSecond),
  };
}

interface Mount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

function mountsOf(folders: BundleFolders): readonly Mount[] {
  const { slug, disk, hosts, resolvConf, memoryLimit, build } = folders;
  const { devices, cover } = folders.common;
  return [
    { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
    ...cover.folders.map((each) => bind(each, cover.empty, "ro", "noexec")),
    devices === null ? tmpfs("/dev", "mode=755", "size=64k", "strictatime") : sharedDevices(devices),
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5", `max=${TERMINALS}`],
    },
    tmpfs("/dev/shm", "mode=1777", "size=64m", "noexec", "nodev"), // counted to the dyno's memory
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
    {
      destination: "/sys/fs/cgroup", // in the stack's empty /sys: sysfs cannot be mounted, the network namespace is the host's
      type: "cgroup",
      source: "cgroup",
      options: ["nosuid", "noexec", "nodev", "relatime", "ro"],
    },
    {
      destination: "/app",
      type: "overlay",
      source: "overlay",
      options: [
        `lowerdir=${slug}`,
        `upperdir=${disk.upper}`,
        `workdir=${disk.work}`,
        "userxattr", // without it, removing a folder of the slug gives EIO
        // Nothing of it outlives the dyno, so nothing is synced: neither when the dyno asks, at the cost of all others' writes, nor at
        // its end, which would wait for the disk.
        "volatile",
        "nosuid",
        "nodev",
      ],
    },
    bind("/tmp", disk.tmp),
    bind("/var/tmp", disk.varTmp),
    bind("/etc/hosts", hosts, "ro"),
    bind("/etc/resolv.conf", resolvConf, "ro"),
    ...(memoryLimit ? [bind(memoryLimit.destination, memoryLimit.source, "ro")] : []),
    ...(build ? buildMountsOf(build) : []),
  ];
}

/** The same places, without what the machine's kernel alone could mount. */
function gvisorMountsOf(folders: BundleFolders): readonly Mount[] {
  const foreign = new Set(["/dev/mqueue", "/sys/fs/cgroup"]);
  const own = mountsOf({ ...folders, common: NOTHING_COMMON })
    .filter(({ destination }) => !foreign.has(destination))
    .map((mount) => (mount.destination === "/app" ? bind("/app", folders.disk.upper) : mount));
  return [...own, tmpfs("/sys", "mode=755", "size=16k", "noexec", "nodev")]; // else it brings a sysfs of its own
}

function buildMountsOf(build: BuildFolders): readonly Mount[] {
  return [
    bind("/repo", build.repo),
    bind("/cache", build.cache),
    bind("/run/stator", build.io, "ro"),
    bind("/opt/stator/toolchain", build.toolchain, "ro"),
    bind("/opt/stator/buildkit", build.buildkit, "ro"),
    ...(build.ca === null ? [] : [bind("/etc/stator/ca.pem", build.ca, "ro")]),
  ];
}

/** Read-only, and no dyno's to begin with; the devices in it open all the same. */
function sharedDevices(source: string): Mount {
  return { destination: "/dev", type: "bind", source, options: ["bind", "rprivate", "nosuid", "noexec", "ro"] };
}

function tmpfs(destination: string, ...options: readonly string[]): Mount {
  return { destination, type: "tmpfs", source: "tmpfs", options: ["nosuid", ...options] };
}

function bind(destination: string, source: string, ...options: readonly string[]): Mount {
  return { destination, type: "bind", source, options: ["rbind", "rprivate", "nosuid", "nodev", ...options] };
}

/** What of `/proc` no dyno sees. */
export const MASKED: readonly string[] = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/scsi",
  "/proc/sched_debug",
  "/proc/timer_list",
  "/proc/timer_stats",
];

const READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
