import { randomUUID } from "node:crypto";
import { chmod, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Clock } from "../../lib/clock.ts";
import { CommandError, run } from "../../lib/command.ts";
import type { Logger } from "../../lib/logger.ts";
import { userNamed } from "../../lib/system-user.ts";
import { UUID } from "../../lib/uuid.ts";
import type { DiskSetting } from "../../model/disk.ts";
import type { Instance } from "../../model/instance.ts";
import type { StackName } from "../engine.ts";
import { type CommonMounts, NOTHING_COMMON } from "./bundle.ts";
import { type Cgroups, findCgroups, groupsOf, prepareCgroups, watcherCpuMs } from "./cgroup.ts";
import { ConfigFifos } from "./config-fifo.ts";
import { openCommonMounts } from "./devices.ts";
import { DynoFolder } from "./dyno-folder.ts";
import { GvisorRuntime } from "./gvisor.ts";
import { ownLimits } from "./host-limits.ts";
import { raiseMachineLimits } from "./host-sysctls.ts";
import { tryIo } from "./io-trial.ts";
import { Isolations } from "./isolations.ts";
import { openLimitedStore, storeOf } from "./limited-store.ts";
import { LocalEngine } from "./local-engine.ts";
import { LogFiles } from "./log-files.ts";
import { isMounted } from "./loop.ts";
import { MigrationLock } from "./migration-lock.ts";
import type { NetworkPool } from "./network.ts";
import { openRuntimeNamespace, Runtime, type RuntimeName } from "./runtime.ts";
import { RuntimePrograms } from "./runtime-programs.ts";
import { tryDyno } from "./runtime-trial.ts";
import { seccompProfile } from "./seccomp.ts";
import { CompiledFilter } from "./seccomp-filter.ts";
import { SlugImages, slugMountsOf } from "./slug-images.ts";
import { STACK_NAMES } from "./stack.ts";
import { Standbys } from "./standbys.ts";
import { StartsAhead } from "./starts-ahead.ts";
import { type BlockDevice, storeDevice } from "./store-device.ts";
import { Tombstones } from "./tombstones.ts";
import { openUserLimits } from "./user-limits.ts";
import { durableMbOf, uidStartOf, type Workshop } from "./workshop.ts";

export interface LocalEngineOptions {
  readonly instance: Instance;
  readonly network: NetworkPool;
  readonly stacks: { mountOf(name: StackName): string };
  /** Where the program is installed; root's, and readable by all. */
  readonly programFolder: string;
  /** First of the instance's block of user ids. */
  readonly uidBase: number;
  readonly logger: Logger;
  readonly clock: Clock;
  /** The control group below which ours go, if systemd delegated one; "": the root. */
  readonly cgroupParent?: string;
  /** How disks are limited (default: what stands, else the first that works). */
  readonly disk?: DiskSetting;
  /** Disks kept ready. */
  readonly readyCount?: number;
  /** Which runtimes may be used, best first. */
  readonly runtimes?: readonly RuntimeName[];
}

/** Kept from dynos, all together. */
const HOST_MEMORY_MB = 512;
/** Of the processes and threads that the machine can have: all dynos together, and one of them. */
const PIDS_OF_ALL = 0.75;
const PIDS_OF_ONE = 0.25;
const BUNDLES_BYTES = 256 * 1024 * 1024;
const READY_COUNT = 4;
const RUNTIMES: readonly RuntimeName[] = ["crun", "runc"];

/** Opens the engine: prepares the host where that is needed, and adopts the dynos of an earlier host process. */
export async function openLocalEngine(options: LocalEngineOptions): Promise<LocalEngine> {
  const { instance, logger, clock } = options;
  const { paths } = instance;
  await makeFolders(instance);
  const cgroups = await findCgroups(instance.cgroup, options.cgroupParent ?? "");
  await raiseMachineLimits(logger);
  const limits = await ownLimits();
  await prepareCgroups(cgroups, {
    memoryMb: Math.max(HOST_MEMORY_MB, limits.memoryMb - HOST_MEMORY_MB),
    pids: Math.floor(limits.threadsMax * PIDS_OF_ALL),
  });
  const store = await openLimitedStore({
    paths,
    programFolder: options.programFolder,
    setting: options.disk ?? "auto",
    dynosLive: (await groupsOf(cgroups)).some((name) => UUID.test(name)),
    durableMb: durableMbOf,
    logger,
    clock,
    readyCount: options.readyCount ?? READY_COUNT,
  });
  if (cgroups.hybridMount !== null) await shareMounts(slugMountsOf(instance));
  const common = await openCommonMounts(paths.run, join(paths.host, "empty"), logger); // before the namespace, which shows it then
  const programs = await RuntimePrograms.open(paths, logger); // so must this
  const namespace = await openRuntimeNamespace(paths.run, cgroups, [
    instance.home,
    ...STACK_NAMES.map((name) => options.stacks.mountOf(name)),
  ]);
  const slugs = await SlugImages.open({
    instance,
    store,
    maker: await userNamed(instance.users.maker),
    uidStartOf: (index) => uidStartOf(options.uidBase, index),
    clock,
  });
  const filter = new CompiledFilter();
  const base: Omit<Workshop, "runtime" | "common"> = {
    ...options,
    cgroups,
    migration: await MigrationLock.open(clock, logger),
    store,
    slugs,
    logs: new LogFiles(paths.logs, (id) => new DynoFolder(paths.bundles, id).file("segment"), {
      writersMs: () => watcherCpuMs(cgroups),
    }),
    limits: {
      cgroup: cgroups.kind,
      swapLimit: cgroups.swapLimit,
      pidsMax: Math.floor(limits.threadsMax * PIDS_OF_ONE),
      device: await limitedDevice(cgroups, storeOf(paths), logger),
      ...limits,
    },
    fifos: new ConfigFifos(join(paths.bundles, ".fifos")),
    userLimits: await openUserLimits(options.programFolder, logger),
    seccomp: seccompProfile(process.arch),
    gvisor: new GvisorRuntime({ bundles: paths.bundles, namespace, programs }),
    filter,
  };
  await base.gvisor.prepare();
  const shop = await chooseRuntime(base, { namespace, programs, common }, options.runtimes ?? RUNTIMES);
  const standbys = new Standbys(shop, paths.bundles);
  const ahead = new StartsAhead(shop, paths.bundles, standbys);
  const engine = await LocalEngine.open({
    shop,
    ahead,
    standbys,
    isolations: new Isolations({
      tryGvisor: () => tryDyno(shop, randomUUID(), { isolation: "gvisor" }),
      remembered: join(paths.bundles, "gvisor"),
      clock,
      logger,
    }),
    bundles: paths.bundles,
    tombstones: await Tombstones.open(join(paths.host, "removed-dynos")),
    memoryMb: limits.memoryMb,
  });
  // Only now: a trial takes a network, and what stands had to be adopted before.
  await filter.compile(shop);
  if (await ahead.open(() => tryDyno(shop, randomUUID(), { ahead }))) standbys.open();
  logger.info("engine.opened", {
    runtime: shop.runtime.name,
    devices: shop.common.devices === null ? "own" : "common",
    cgroups: cgroups.kind,
    disks: store.mechanism,
    ioLimitedOn: base.limits.device?.name ?? null,
    inotifyDivided: base.userLimits.works,
    dynos: (await engine.list()).length,
  });
  return engine;
}

/** The disk on which the kernel takes rates; one that it refuses would keep every dyno from starting. */
async function limitedDevice(cgroups: Cgroups, store: string, logger: Logger): Promise<BlockDevice | undefined> {
  const device = cgroups.ioLimit ? await storeDevice(store) : undefined;
  const why = device === undefined ? "no controller or no disk" : await tryIo(cgroups, device);
  if (why === "") return device;
  logger.warn("io.unlimited", { message: "Disk rates of dynos are not limited.", device: device?.name, why });
  return undefined;
}

async function makeFolders({ home, paths }: Instance): Promise<void> {
  await mkdir(paths.host, { recursive: true });
  for (let at = home; at !== "/"; at = dirname(at))
    if (((await stat(at)).mode & 0o001) === 0)
      throw new Error(`${at} is closed to other users, and dynos must pass: chmod o+x ${at}`);
  await chmod(paths.host, 0o711); // the root of a dyno's user namespace walks through it
  for (const each of [join(paths.host, "mnt"), join(paths.host, "empty")]) {
    await mkdir(each, { recursive: true });
    await chmod(each, 0o755);
  }
  await mkdir(paths.logs, { recursive: true });
  await mkdir(paths.run, { recursive: true });
  await mkdir(paths.bundles, { recursive: true, mode: 0o700 });
  // Always one of our own: what is in it is as old as the mounts and the processes that it tells of.
  if (!(await isMounted(paths.bundles))) {
    // Not noexec: runc could then not bind files of it into dynos, since it does not repeat that flag.
    const options = `size=${BUNDLES_BYTES},mode=0700,nosuid,nodev`;
    await run("mount", ["-t", "tmpfs", "-o", options, "tmpfs", paths.bundles]);
  }
}

/** What is mounted below later is seen in the runtime's namespace too. */
async function shareMounts(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  if (await isMounted(folder)) return;
  await run("mount", ["--bind", folder, folder]);
  await run("mount", ["--make-shared", folder]);
}

/**
 * The first runtime that makes a whole dyno here; tried once, until the machine restarts. crun is tried with what dynos can have in
 * common first; runc refuses mounts below `/proc`.
 */
async function chooseRuntime(
  base: Omit<Workshop, "runtime" | "common">,
  options: {
    readonly namespace: string | null;
    readonly programs: RuntimePrograms | undefined;
    readonly common: CommonMounts;
  },
  names: readonly RuntimeName[],
): Promise<Workshop> {
  const { bundles } = base.instance.paths;
  const remembered = join(bundles, "runtime");
  const chosen = await readFile(remembered, "utf8").catch(() => undefined); // the first time
  const failures: string[] = [];
  const ways = names.flatMap((name) => [
    ...(name === "crun" ? [{ name, way: `${name} common`, common: options.common }] : []),
    { name, way: name, common: NOTHING_COMMON },
  ]);
  for (const { name, way, common } of ways) {
    const { namespace, programs } = options;
    const runtime = new Runtime({ name, bundles, namespace, cgroups: base.cgroups, programs });
    await runtime.prepare();
    const shop: Workshop = { ...base, runtime, common };
    if (chosen === way) return shop;
    if (chosen !== undefined) continue;
    try {
      await tryDyno(shop, randomUUID());
      await writeFile(remembered, way);
      return shop;
    } catch (error) {
      base.logger.warn("engine.runtime_failed", { runtime: way, error });
      failures.push(
        error instanceof CommandError ? `${way}: ${error.stderr || error.message}` : `${way}: ${String(error)}`,
      );
    }
  }
  throw new Error(`No container runtime works on this machine. ${failures.join(" ")}`);
}
