import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { timeLimit } from "../../lib/abort.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/logger.ts";
import { settled } from "../../lib/settled.ts";
import { DYNO_UID } from "../../model/boot.ts";
import type { Instance } from "../../model/instance.ts";
import type { Isolation } from "../../model/isolation.ts";
import type { DynoSize } from "../../model/size.ts";
import type { DynoSpec, StackName, StartStep } from "../engine.ts";
import {
  type BuildFolders,
  bundleOf,
  type CommonMounts,
  type DiskFolders,
  type HostLimits,
  hostsOf,
  memoryLimitFile,
  memoryLimitOf,
  resolvConfOf,
} from "./bundle.ts";
import { adoptWatcher, type Cgroups, cgroupPathOf, killGroup, killQuietly, limitTcpBuffers } from "./cgroup.ts";
import type { ConfigFifo, ConfigFifos } from "./config-fifo.ts";
import type { DynoFolder, ProcessRef } from "./dyno-folder.ts";
import { writeFifo } from "./fifo.ts";
import type { GvisorRuntime } from "./gvisor.ts";
import { CHECKS_FOLDER } from "./health-command.ts";
import { IoSocket } from "./io-socket.ts";
import type { LogFiles } from "./log-files.ts";
import type { MigrationLock } from "./migration-lock.ts";
import type { DynoNetwork, NetworkPool } from "./network.ts";
import { hasProfileScripts } from "./profile-scripts.ts";
import { type ReadyFilter, withFilter } from "./ready-filter.ts";
import {
  type BeginOptions,
  type Begun,
  CREATE_TIMEOUT_MS,
  type DynoRuntime,
  forgetHiddenGroup,
  type Runtime,
} from "./runtime.ts";
import type { SeccompProfile } from "./seccomp.ts";
import { SESSIONS_FOLDER } from "./sessions.ts";
import type { SlugImages } from "./slug-images.ts";
import type { UserLimits } from "./user-limits.ts";
import type { LimitedStore } from "./volume-store.ts";

/** All that dynos are made with. */
export interface Workshop {
  readonly instance: Instance;
  readonly programFolder: string;
  readonly uidBase: number;
  readonly network: NetworkPool;
  readonly stacks: { mountOf(name: StackName): string };
  readonly cgroups: Cgroups;
  readonly migration: MigrationLock;
  /** Of containers. */
  readonly runtime: Runtime;
  readonly common: CommonMounts;
  readonly gvisor: GvisorRuntime;
  readonly store: LimitedStore;
  readonly slugs: SlugImages;
  readonly logs: LogFiles;
  /** Where runtimes that came up wait for what they are to make. */
  readonly fifos: ConfigFifos;
  readonly limits: HostLimits;
  readonly userLimits: UserLimits;
  readonly seccomp: SeccompProfile;
  /** The same, compiled. */
  readonly filter: ReadyFilter;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A dyno whose container is there. */
export interface Made {
  readonly network: DynoNetwork;
  readonly conmon: ProcessRef;
  readonly io: IoSocket | null;
}

export interface MakeOptions {
  readonly mark?: (step: StartStep) => void;
  /** It was created before it was asked for. */
  readonly created?: Made | undefined;
  /** What stood by under its id. */
  readonly standby?: Waiting | undefined;
}

const IDS = 65_536;
const MEBIBYTE = 1024 * 1024;
/** Of its memory, what buffers of TCP connections may take beside it on version 1. */
const TCP_SHARE = 4;
/** What an app keeps from one build to the next, each. */
const REPOSITORY_MB = 4096;
const CACHE_MB = 4096;

export const dynoVolumeOf = (id: string): string => `dyno-${id}`;
export const appVolumesOf = (appId: string): { readonly repo: string; readonly cache: string } => ({
  repo: `repo-${appId}`,
  cache: `cache-${appId}`,
});

/** What outlives a change of the store: what apps keep. Disks of dynos do not, and trees of slugs are made again. */
export const durableMbOf = (name: string): number | undefined =>
  name.startsWith("repo-") ? REPOSITORY_MB : name.startsWith("cache-") ? CACHE_MB : undefined;

export const uidStartOf = (uidBase: number, uidIndex: number): number => uidBase + uidIndex * IDS;

export const runtimeOf = (
  { runtime, gvisor }: Pick<Workshop, "runtime" | "gvisor">,
  isolation: Isolation,
): DynoRuntime => (isolation === "gvisor" ? gvisor : runtime);

/** Makes the dyno and lets its command begin. After a failure `takeApart` finds everything that was made. */
export async function make(
  shop: Workshop,
  folder: DynoFolder,
  spec: DynoSpec,
  size: DynoSize,
  { mark = () => {}, created, standby }: MakeOptions = {},
): Promise<Made> {
  const made = created ?? (await create(shop, folder, spec, size, { mark, standby }));
  try {
    await letGo(shop, folder, spec, made, mark);
    return made;
  } catch (error) {
    made.io?.close();
    throw error;
  }
}

/**
 * All but the command's first instruction. What waits for something else than us (the start of conmon and of the runtime, the
 * kernel's lock) goes on beside what is written meanwhile.
 */
export async function create(
  shop: Workshop,
  folder: DynoFolder,
  spec: DynoSpec,
  size: DynoSize,
  { mark = () => {}, standby }: Omit<MakeOptions, "created"> = {},
): Promise<Made> {
  using _quick = shop.migration.warm();
  const { logs } = shop;
  const runtime = runtimeOf(shop, spec.isolation);
  logs.create(spec.id);
  const begin = {
    id: spec.id,
    bundle: folder.path,
    log: logs.pathOf(spec.id),
    terminal: spec.terminal !== null,
    stdin: spec.stdin,
  };
  const waiting = standby ?? (spec.isolation === "container" ? beginWaiting(shop, begin) : undefined);
  const bundle = writeBundle(shop, folder, spec, size, { mark, waiting });
  const created = runtime.create({ ...begin, bundleWritten: bundle, begun: waiting?.begun });
  try {
    const [{ network, io }, conmon] = await settled<[Bundle, ProcessRef]>([bundle, created]);
    mark("created");
    if (waiting !== undefined) shop.fifos.worked();
    limitTcpBuffers(shop.cgroups, spec.id, (size.memoryCeilingMb * MEBIBYTE) / TCP_SHARE);
    await beforeStart(shop, folder, spec);
    return { network, conmon, io };
  } catch (error) {
    if (waiting !== undefined && shop.fifos.failed()) shop.logger.warn("engine.not_waiting", { error });
    await waiting?.config.end().catch((second: unknown) => {
      shop.logger.warn("dyno.not_ended", { dynoId: spec.id, error: second });
    });
    await bundle.then(
      ({ io }) => io?.close(),
      () => {}, // it is the error
    );
    throw error;
  }
}

/** conmon and the runtime, which come up and wait for the configuration. undefined: they cannot, and wait for the file. */
export function beginWaiting(shop: Workshop, begin: BeginOptions): Waiting | undefined {
  const config = shop.fifos.take(begin.bundle);
  if (config === undefined) return undefined;
  try {
    const begun = shop.runtime.begin(begin);
    begun.go();
    return { config, begun };
  } catch (error) {
    void config.end().catch(() => {}); // `takeApart` ends it by its folder
    throw error;
  }
}

/** Lets the command of a dyno that was created begin, and notes it. */
async function letGo(
  shop: Workshop,
  folder: DynoFolder,
  spec: DynoSpec,
  { network, conmon }: Made,
  mark: (step: StartStep) => void,
): Promise<void> {
  const started = runtimeOf(shop, spec.isolation)
    .start(spec.id, network)
    .then(() => mark("started"));
  await settled<[void, void]>([started, moveWatcher(shop, spec.id, conmon)]);
  await folder.setStarted({ at: shop.clock.now(), conmon });
}

/**
 * Takes a dyno's conmon out of our own group. A failure is told and no more: the command has begun, and what cannot begin is begun
 * again, a release command too.
 */
export async function moveWatcher(shop: Workshop, dynoId: string, conmon: ProcessRef): Promise<void> {
  await adoptWatcher(shop.cgroups, conmon.pid).catch((error: unknown) => {
    shop.logger.warn("dyno.watcher_not_moved", { dynoId, error });
  });
}

interface BundleOptions {
  readonly mark: (step: StartStep) => void;
  readonly waiting: Waiting | undefined;
}

/** A runtime that has come up, and where it waits. */
export interface Waiting {
  readonly config: ConfigFifo;
  readonly begun: Begun;
}

interface Bundle {
  readonly network: DynoNetwork;
  readonly io: IoSocket | null;
}

/** What the runtime reads, and all that it names. */
async function writeBundle(
  shop: Workshop,
  folder: DynoFolder,
  spec: DynoSpec,
  size: DynoSize,
  { mark, waiting }: BundleOptions,
): Promise<Bundle> {
  const uidStart = uidStartOf(shop.uidBase, spec.uidIndex);
  const [network, disk, slug, build] = await settled<[DynoNetwork, DiskFolders, string, BuildFolders | null]>([
    takeNetwork(shop, folder, spec, size).finally(() => mark("network")),
    makeDisk(shop, spec, size, uidStart).finally(() => mark("disk")),
    slugFolder(shop, spec),
    spec.io ? makeBuildFolders(shop, folder, spec.appId, uidStart) : Promise.resolve(null),
  ]);
  const io = build && (await IoSocket.listen(build.io, uidStart + DYNO_UID));
  try {
    // gVisor opens them as the dyno's root, who cannot pass through the bundle.
    const files = spec.isolation === "gvisor" ? dirname(disk.upper) : folder.path;
    // Nor has it the files of control groups.
    const memoryFile = spec.isolation === "gvisor" ? undefined : memoryLimitFile(size, shop.limits.cgroup);
    const folders = {
      stack: shop.stacks.mountOf(spec.stack),
      slug,
      disk,
      hosts: join(files, "hosts"),
      resolvConf: join(files, "resolv.conf"),
      memoryLimit: memoryFile === undefined ? undefined : { source: folder.file("memory"), destination: memoryFile },
      // A terminal is mounted on a file in it, which the runtime makes.
      common: spec.terminal === null ? shop.common : { ...shop.common, devices: null },
      build,
    };
    const { limits, seccomp } = shop;
    const cgroupPath = cgroupPathOf(shop.cgroups, spec.id);
    const hasProfile = hasProfileScripts(folders, spec.env);
    const bundle = bundleOf({ spec, size, uidStart, network, cgroupPath, folders, hasProfile, limits, seccomp });
    const filter = spec.isolation === "gvisor" ? null : shop.filter.base64; // its kernel has one of its own
    // At once, as all small things.
    writeFileSync(folders.hosts, hostsOf(spec.id, network));
    writeFileSync(folders.resolvConf, resolvConfOf(network));
    if (memoryFile !== undefined) writeFileSync(folder.file("memory"), memoryLimitOf(size));
    const config = JSON.stringify(withFilter(bundle, filter));
    if (waiting === undefined) writeFileSync(folder.file("config.json"), config, { mode: 0o600 });
    else {
      using limit = timeLimit(CREATE_TIMEOUT_MS, "the runtime did not read its configuration in time");
      await waiting.config.hand(config, waiting.begun.made, shop.clock, limit.signal);
    }
    mark("bundle");
    return { network, io };
  } catch (error) {
    io?.close();
    throw error;
  }
}

/** What is set between the making of a container and its command's first instruction. */
async function beforeStart(shop: Workshop, folder: DynoFolder, { isolation, terminal }: DynoSpec): Promise<void> {
  switch (isolation) {
    case "container": // what the kernel counts for each user namespace
      return shop.userLimits.apply(Number(readFileSync(folder.file("pid"), "utf8")));
    case "gvisor": // it counts by itself, and does not read the size of a terminal out of the bundle
      return terminal === null ? undefined : setTerminalSize(folder, terminal);
    default:
      return isolation satisfies never;
  }
}

export async function setTerminalSize(
  folder: DynoFolder,
  { rows, columns }: { readonly rows: number; readonly columns: number },
): Promise<void> {
  await writeFifo(folder.file("ctl"), `1 ${Math.trunc(rows)} ${Math.trunc(columns)}\n`);
}

/** Kills what lives of a dyno and frees all that it holds but its log and what is known of it. Repeatable. */
export async function takeApart(shop: Workshop, folder: DynoFolder, id: string): Promise<void> {
  await shop.fifos.end(folder.path).catch((error: unknown) => {
    shop.logger.warn("dyno.not_ended", { dynoId: id, error }); // its group is killed all the same
  });
  for (const runtime of [shop.runtime, shop.gvisor]) // what it was may not be known any more
    await runtime.delete(id).catch((error: unknown) => {
      shop.logger.warn("dyno.delete_failed", { dynoId: id, error }); // its group is killed next, which is what counts
    });
  await killGroup(shop.cgroups, id, shop.clock);
  await forgetHiddenGroup(shop.instance.paths.run, shop.cgroups, id);
  const conmon = await folder.conmon(); // it goes by itself once its container is gone; this is for one that hangs
  if (conmon) killQuietly(conmon.pid, "SIGKILL");
  await settled<[void, void, void, void, void]>([
    releaseNetwork(shop, folder),
    shop.store.remove(dynoVolumeOf(id)),
    rm(folder.file("config.json"), { force: true }), // it holds config vars
    rm(folder.file(CHECKS_FOLDER), { recursive: true, force: true }), // so does this
    rm(folder.file(SESSIONS_FOLDER), { recursive: true, force: true }), // and this
  ]);
}

/** The same for one of which nobody asks any more, with its log and all that is known of it. Repeatable. */
export async function takeAway(shop: Workshop, folder: DynoFolder, id: string): Promise<void> {
  await takeApart(shop, folder, id);
  await shop.logs.remove(id);
  await folder.remove();
}

/** Once: afterwards the index may be another dyno's. */
async function releaseNetwork(shop: Workshop, folder: DynoFolder): Promise<void> {
  const network = await folder.network();
  if (network === undefined) return;
  await shop.network.release(network.index);
  await folder.forgetNetwork();
}

async function takeNetwork(shop: Workshop, folder: DynoFolder, spec: DynoSpec, size: DynoSize): Promise<DynoNetwork> {
  const network = await shop.network.take(spec.kind, spec.appId, size.network);
  await folder.setNetwork({ index: network.index });
  return network;
}

/**
 * Upper and work folder of the overlay, and temporary folders, all in the dyno's own volume. gVisor's kernel knows no overlay of
 * the host's: there `/app` is the upper folder alone, with the slug's files in it, shared with the slug's tree until they change.
 */
async function makeDisk(shop: Workshop, spec: DynoSpec, size: DynoSize, uidStart: number): Promise<DiskFolders> {
  const { id, slugDigest, uidIndex } = spec;
  const volume =
    spec.isolation === "gvisor" && slugDigest !== null
      ? await shop.store.copy(dynoVolumeOf(id), size.diskMb, await shop.slugs.treeOf({ digest: slugDigest, uidIndex }))
      : await shop.store.create(dynoVolumeOf(id), size.diskMb);
  const folders = {
    upper: join(volume, "upper"),
    work: join(volume, "work"),
    tmp: join(volume, "tmp"),
    varTmp: join(volume, "var-tmp"),
  };
  const dyno = uidStart + DYNO_UID;
  await Promise.all([
    makeFolder(folders.upper, dyno, 0o755),
    makeFolder(folders.work, uidStart, 0o755), // anybody else's, and the kernel mounts /app read-only (facts 2)
    makeFolder(folders.tmp, uidStart, 0o1777),
    makeFolder(folders.varTmp, uidStart, 0o1777),
  ]);
  return folders;
}

/** At once: what waits in line for a thread takes ten times as long as the call itself, and a start has a dozen of them. */
async function makeFolder(path: string, owner: number, mode: number): Promise<void> {
  mkdirSync(path, { recursive: true });
  chownSync(path, owner, owner);
  chmodSync(path, mode);
}

async function slugFolder(shop: Workshop, spec: DynoSpec): Promise<string> {
  if (spec.slugDigest === null) return join(shop.instance.paths.host, "empty");
  return shop.slugs.mountOf({ digest: spec.slugDigest, uidIndex: spec.uidIndex });
}

async function makeBuildFolders(
  shop: Workshop,
  folder: DynoFolder,
  appId: string,
  uidStart: number,
): Promise<BuildFolders> {
  const volumes = appVolumesOf(appId);
  const repo = await shop.store.ensure(volumes.repo, REPOSITORY_MB);
  const cache = await shop.store.ensure(volumes.cache, CACHE_MB);
  for (const each of [repo, cache]) await makeFolder(each, uidStart + DYNO_UID, 0o700);
  const ca = join(shop.instance.home, "build-ca.pem");
  return {
    repo,
    cache,
    io: folder.file("io"),
    toolchain: join(shop.programFolder, "toolchain"),
    buildkit: join(shop.programFolder, "buildkit"),
    ca: existsSync(ca) ? ca : null,
  };
}
