import { existsSync } from "node:fs";
import { chmod, chown, mkdir, readFile, rename, rm } from "node:fs/promises";
import type { Server } from "node:http";
import { join } from "node:path";
import type { Config } from "../config.ts";
import { indexOf } from "../engine/local/address.ts";
import { ownLimits } from "../engine/local/host-limits.ts";
import { openNetwork } from "../engine/local/network.ts";
import { rememberedRange } from "../engine/local/network-range.ts";
import { openLocalEngine } from "../engine/local/open.ts";
import { mountStacks } from "../engine/local/stack-mount.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { SystemUser } from "../lib/system-user.ts";
import { wakeSocket } from "../model/sleep.ts";
import { requestSocket } from "../router/request-socket.ts";
import { allowedForBuilds } from "./build-allow.ts";
import type { HostFolders } from "./folders.ts";
import { Haproxy, PROGRAM } from "./haproxy.ts";
import { AllowFile } from "./network-allow.ts";
import { RequestPark } from "./request-park.ts";
import { RequestRingFiles } from "./request-ring-files.ts";
import { createHostServer } from "./server.ts";
import { listenBeside } from "./shared-port.ts";
import { SshDoor } from "./ssh-door.ts";
import { ensureCertificates, routerCertificatePath } from "./tls.ts";
import { claimUids } from "./uids.ts";

export interface PartsOptions {
  readonly config: Config;
  readonly users: { readonly daemon: SystemUser; readonly router: SystemUser };
  readonly folders: HostFolders;
  readonly cgroupParent: string | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Network namespaces and disks kept ready: as many as a scaling to the most that an app may have takes, since making them costs as
 * much as starting all else of a dyno; on small machines fewer, for the quarter of a megabyte that the kernel keeps for each.
 */
const READY_MAX = 100;
const READY_MIN = 8;
const READY_EACH_MB = 128;
const CERTIFICATES_MS = 6 * 3_600_000;
/** Descriptors of HAProxy that are not connections. */
const DESCRIPTORS_BESIDE = 200;
const CONNECTIONS_MAX = 100_000;

/** What the root process does for the daemon: network, engine, router, and the socket on which it is asked. */
export async function openParts(options: PartsOptions): Promise<AsyncDisposable> {
  const { config, users, folders, cgroupParent, clock, logger } = options;
  const { instance } = config;
  await using parts = new AsyncDisposableStack();
  const { memoryMb } = await ownLimits();
  const readyCount = Math.min(READY_MAX, Math.max(READY_MIN, Math.floor(memoryMb / READY_EACH_MB)));
  const network = parts.use(
    await openNetwork({
      instance,
      config,
      buildAllow: () => allowedForBuilds(instance),
      appAllow: new AllowFile(instance),
      routerUid: users.router.uid,
      probeUid: 0,
      logger,
      clock,
      poolSize: readyCount,
    }),
  );
  const engine = parts.use(
    await openLocalEngine({
      instance,
      network,
      stacks: await mountStacks(instance),
      programFolder: join(import.meta.dirname, "..", ".."),
      uidBase: await claimUids(instance.users.daemon),
      logger,
      clock,
      readyCount,
      disk: config.disk,
      ...(cgroupParent !== undefined && { cgroupParent }),
    }),
  );
  const owner = { uid: users.router.uid, gid: users.daemon.gid };
  const rings = new RequestRingFiles({ folder: folders.requestRings, owner, logger });
  const haproxy = parts.use(
    await openRouter(config, folders, users.router, rings, (dynoId) => engine.endpointOf(dynoId), { clock, logger }),
  );
  parts.use(
    new RequestPark({
      socket: requestSocket(config.instance),
      own: join(config.instance.paths.run, "request-park.sock"),
      isNeeded: async () => !(await rings.suits(PROGRAM)),
      clock,
      logger,
    }),
  );
  parts.use(engine.watch((dynoId) => haproxy.refresh(dynoId)));
  const door = parts.use(
    new SshDoor({ address: config.execAddress, listen: listenBeside(users.router.uid), clock, logger }),
  );
  const server = createHostServer({ engine, router: haproxy, door, instance, clock, logger });
  parts.use(await listen(server, config, users.daemon));
  parts.use(renewCertificates(config, folders, users.daemon, haproxy, { clock, logger }));
  return parts.move();
}

interface Tools {
  readonly clock: Clock;
  readonly logger: Logger;
}

async function openRouter(
  config: Config,
  folders: HostFolders,
  user: SystemUser,
  rings: RequestRingFiles,
  addressOf: (dynoId: string) => { readonly address: string; readonly port: number } | undefined,
  { clock, logger }: Tools,
): Promise<Haproxy> {
  const { paths } = config.instance;
  const range = await rememberedRange(config.instance);
  const { openFilesMax } = await ownLimits();
  const connectionsMax = Math.min(CONNECTIONS_MAX, Math.floor((openFilesMax - DESCRIPTORS_BESIDE) / 2));
  return Haproxy.open({
    layout: {
      folder: folders.router,
      socketFolder: folders.routerSockets,
      requestSocket: requestSocket(config.instance),
      wakeSocket: wakeSocket(config.instance),
      httpPort: config.httpPort,
      httpsPort: config.httpsPort,
      ipv6: existsSync("/proc/net/if_inet6"),
      connectionsMax,
    },
    user,
    rings,
    tables: { volatile: join(paths.run, "routes.json"), durable: join(paths.host, "routes.json") },
    pidFile: join(paths.run, "haproxy.pid"),
    logFile: join(paths.processLogs, "router.log"),
    certificate: () => readFile(routerCertificatePath(config), "utf8"),
    addressOf,
    isDynoAddress: (address) => range !== undefined && indexOf(range, address) !== undefined,
    clock,
    logger,
  });
}

/** Listens where only root and the daemon's group can connect: not for an instant more openly. */
async function listen(server: Server, { instance }: Config, daemon: SystemUser): Promise<AsyncDisposable> {
  const { run, hostSocket } = instance.paths;
  const closed = join(run, "host-socket");
  await mkdir(closed, { recursive: true, mode: 0o700 });
  const beside = join(closed, "next.sock");
  await rm(beside, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(beside, resolve);
  });
  await chown(beside, 0, daemon.gid);
  await chmod(beside, 0o660);
  await rename(beside, hostSocket);
  return {
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Looks a few times a day whether a certificate ends soon. */
function renewCertificates(
  config: Config,
  folders: HostFolders,
  daemon: SystemUser,
  haproxy: Haproxy,
  { clock, logger }: Tools,
): AsyncDisposable {
  const closed = new AbortController();
  const work = (async () => {
    while (!closed.signal.aborted) {
      await clock.sleep(CERTIFICATES_MS, closed.signal).catch(() => {}); // closed
      try {
        const { routerChanged, objection } = await ensureCertificates(config, folders, daemon, clock.now());
        if (objection !== undefined) logger.warn("certificates.own_refused", { objection });
        if (routerChanged) await haproxy.reload();
      } catch (error) {
        logger.error("certificates.not_renewed", { error });
      }
    }
  })();
  return {
    async [Symbol.asyncDispose]() {
      closed.abort();
      await work;
    },
  };
}
