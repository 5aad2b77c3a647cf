import { mkdir, open, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../config.ts";
import { writeFileAtomic } from "../lib/atomic-file.ts";
import type { Clock } from "../lib/clock.ts";
import { type ChildProcess, start } from "../lib/command.ts";
import type { Logger } from "../lib/logger.ts";
import { compileCacheOf, MALLOC_OPTIONS, NODE_OPTIONS } from "../model/instance.ts";
import { identityOf, KeptProcess, remembered } from "./kept-process.ts";

/** The processes that keep each other alive where there is no systemd: the keeper the host and the daemon, the host the keeper. */
export type Role = "daemon" | "host" | "keeper";

interface KeepOptions {
  readonly config: Config;
  readonly clock: Clock;
  readonly logger: Logger;
}

const LOG_BYTES_MAX = 32 * 1024 * 1024;
const MAIN = join(import.meta.dirname, "..", "main.ts");

/** Adopts the process of this role if it lives, starts it if not, and again whenever it is gone. */
export function keepProcess(role: Role, { config, clock, logger }: KeepOptions): KeptProcess {
  return new KeptProcess({
    name: role,
    pidFile: pidFileOf(role, config),
    mark: [MAIN, role],
    start: () => startProcess(role, config),
    isUrgent: role !== "keeper",
    clock,
    logger,
  });
}

/**
 * Writes down that we are the process of this role. False when another lives: then this one has nothing to do.
 */
export async function enterRole(role: Role, config: Config): Promise<boolean> {
  await mkdir(config.instance.paths.run, { recursive: true, mode: 0o755 });
  const pidFile = pidFileOf(role, config);
  const other = await remembered(pidFile, [MAIN, role]);
  if (other !== undefined && other.pid !== process.pid) return false;
  const own = identityOf(process.pid);
  if (own !== undefined) await writeFileAtomic(pidFile, `${own.pid} ${own.startedAt}\n`, { mode: 0o644 });
  return true;
}

const pidFileOf = (role: Role, { instance }: Config): string => join(instance.paths.run, `${role}.pid`);

async function startProcess(role: Role, config: Config): Promise<ChildProcess> {
  const { users, paths } = config.instance;
  await mkdir(paths.processLogs, { recursive: true, mode: 0o755 });
  const path = join(paths.processLogs, `${role}.log`);
  await makeRoom(path);
  await using log = await open(path, "a", 0o640);
  const command = [process.execPath, MAIN, role];
  const unprivileged = [`--reuid=${users.daemon}`, `--regid=${users.daemon}`, "--init-groups"];
  const powerless = ["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"];
  const [program = "", ...args] = role === "daemon" ? ["setpriv", ...unprivileged, ...powerless, ...command] : command;
  return start(program, args, {
    env: environmentOf(role, config),
    detached: true,
    stdio: ["ignore", log.fd, log.fd],
  });
}

function environmentOf(role: Role, config: Config): Record<string, string> {
  return {
    STATOR_HOME: config.instance.home,
    STATOR_API_PORT: String(config.apiPort),
    STATOR_TLS_PORT: String(config.tlsPort),
    STATOR_HTTP_PORT: String(config.httpPort),
    STATOR_HTTPS_PORT: String(config.httpsPort),
    STATOR_DOMAIN: config.domain,
    STATOR_DISK: config.disk,
    NODE_OPTIONS,
    NODE_COMPILE_CACHE: compileCacheOf(config.instance, role),
    ...MALLOC_OPTIONS,
    ...(role !== "daemon" && { STATOR_SUPERVISE: "1" }),
  };
}

/** One older file is kept. */
async function makeRoom(path: string): Promise<void> {
  const { size } = await stat(path).catch(() => ({ size: 0 })); // the first start
  if (size > LOG_BYTES_MAX) await rename(path, `${path}.1`);
}
