import type { Config } from "../config.ts";
import { aborted } from "../lib/abort.ts";
import { systemClock } from "../lib/clock.ts";
import { jsonLogger } from "../lib/logger.ts";
import { userNamed } from "../lib/system-user.ts";
import { keepSizes } from "../sizes.ts";
import { prepareFolders } from "./folders.ts";
import { enterRole, keepProcess } from "./own-processes.ts";
import { openParts } from "./parts.ts";
import { ensureCertificates } from "./tls.ts";

export interface HostOptions {
  /** Where there is no systemd: keep the keeper running, which keeps us and the daemon. */
  readonly supervise: boolean;
  /** The control group below which ours go, if systemd delegated one. */
  readonly cgroupParent?: string;
}

/**
 * The whole root process, in the order its parts start; they stop in the opposite order. What it started (dynos,
 * HAProxy) lives on when it ends, and is found again.
 */
export async function runHost(config: Config, until: AbortSignal, options: HostOptions): Promise<void> {
  const { instance } = config;
  const [clock, logger] = [systemClock, jsonLogger("host")];
  if (!(await enterRole("host", config))) return logger.warn("host.not_needed");
  const users = { daemon: await userNamed(instance.users.daemon), router: await userNamed(instance.users.router) };
  const folders = await prepareFolders(instance, users.daemon, users.router);
  const { objection } = await ensureCertificates(config, folders, users.daemon, clock.now());
  if (objection !== undefined) logger.warn("certificates.own_refused", { objection });

  await using parts = new AsyncDisposableStack();
  parts.use(keepSizes(instance, logger, "host"));
  if (options.supervise) parts.use(keepProcess("keeper", { config, clock, logger }));
  parts.use(await openParts({ config, users, folders, cgroupParent: options.cgroupParent, clock, logger }));
  logger.info("host.ready", { instance: instance.id });
  await aborted(until);
}
