import { chmod, chown, mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { SystemUser } from "../lib/system-user.ts";
import type { Instance } from "../model/instance.ts";
import { requestRings } from "../router/request-socket.ts";

export interface HostFolders {
  /** HAProxy's configuration: root writes, HAProxy reads. */
  readonly router: string;
  /** HAProxy's sockets: its own; root reaches them. */
  readonly routerSockets: string;
  /** Rings of request lines: root makes the files, HAProxy writes them, the daemon reads them. */
  readonly requestRings: string;
  /** Key of the installation's authority: root only. */
  readonly authority: string;
  /** Certificate and key of the API: root writes, the daemon reads. */
  readonly tls: string;
}

export function foldersOf(instance: Instance): HostFolders {
  const { home, paths } = instance;
  return {
    requestRings: requestRings(instance),
    router: join(paths.run, "router"),
    routerSockets: join(paths.run, "router-sockets"),
    authority: join(paths.host, "ca"),
    tls: join(home, "tls"),
  };
}

/** Makes every folder that processes of ours find each other in, with its owner and mode. Repeatable. */
export async function prepareFolders(instance: Instance, daemon: SystemUser, router: SystemUser): Promise<HostFolders> {
  const { home, paths } = instance;
  const folders = foldersOf(instance);
  const root = { uid: 0, gid: 0 };
  const all: readonly (readonly [path: string, mode: number, owner: SystemUser])[] = [
    [home, 0o755, root],
    [paths.host, 0o711, root],
    [folders.authority, 0o700, root],
    [paths.data, 0o700, daemon],
    [paths.logs, 0o2750, { uid: 0, gid: daemon.gid }],
    [paths.processLogs, 0o755, root],
    [folders.tls, 0o750, { uid: 0, gid: daemon.gid }],
    [paths.run, 0o755, root],
    [paths.daemonRun, 0o750, { uid: daemon.uid, gid: router.gid }],
    [folders.router, 0o750, { uid: 0, gid: router.gid }],
    [folders.routerSockets, 0o700, router],
    [folders.requestRings, 0o751, { uid: 0, gid: daemon.gid }], // HAProxy opens what it is told of, and sees no other
  ];
  for (const [path, mode, { uid, gid }] of all) {
    await mkdir(path, { recursive: true });
    await chown(path, uid, gid);
    await chmod(path, mode); // after chown, which takes the set-group bit away; and the umask must not decide
  }
  return folders;
}
