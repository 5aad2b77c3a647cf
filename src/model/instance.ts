import { createHash } from "node:crypto";
import { join } from "node:path";

/**
 * One installation on this machine, and every name that it has on the host. All of them are derived from the home folder,
 * so that what an instance left behind can be found and cleaned by its id alone (architecture, decision 12).
 */
export interface Instance {
  /** Six hex digits, from the path of the home folder. */
  readonly id: string;
  readonly home: string;
  /** System users (each with a group of the same name): the daemon, HAProxy, and root's helper that makes images. */
  readonly users: { readonly daemon: string; readonly router: string; readonly maker: string };
  readonly paths: InstancePaths;
  /** nftables table, family inet. */
  readonly nftTable: string;
  /** Every network interface of ours on the host starts with this; 9 of 15 characters. */
  readonly interfacePrefix: string;
  /** Every network namespace of ours (`ip netns`) starts with this. */
  readonly netnsPrefix: string;
  /** Name of the folder below each controller's root that holds all our groups. */
  readonly cgroup: string;
}

export interface InstancePaths {
  /** Settings that `up` remembers; readable by all. */
  readonly settings: string;
  /** Owned by the daemon's user, 0700: database, key, slugs as tar.gz, app logs. */
  readonly data: string;
  /** Owned by root: stacks, slug images, the limited store, keys of the CA. The daemon cannot write below it. */
  readonly host: string;
  /** Dynos' raw logs, one file each: `<dynoId>.log` and `<dynoId>.log.<n>`. root:daemon, 2750. */
  readonly logs: string;
  /** On tmpfs; gone after a reboot. */
  readonly run: string;
  /** The host process's socket: root:daemon, 0660. */
  readonly hostSocket: string;
  /** Below `run`, owned by the daemon's user, group router, 0750; an HAProxy that sends its request lines does so to `requests.sock` in it (`router/request-socket.ts`). */
  readonly daemonRun: string;
  /** Below `run`, owned by root, 0700, tmpfs: OCI bundles, which hold config vars. */
  readonly bundles: string;
  /** Certificate of the installation's own CA; readable by all. */
  readonly caCertificate: string;
  /** Operators' log of each process: `daemon.log`, `host.log`, `keeper.log`, `router.log`. */
  readonly processLogs: string;
}

/** For Node, in each process of ours: young objects die soon in little room too, which saves tens of megabytes. */
export const NODE_OPTIONS = "--max-semi-space-size=2";

/**
 * For the C library, in each process of ours: what was taken for a burst of work and is free again goes back to the kernel, instead of
 * lying in pieces in an arena for each thread (30 MiB of the daemon and the host process after 500 dynos were started).
 */
export const MALLOC_OPTIONS = {
  MALLOC_ARENA_MAX: "1",
  MALLOC_MMAP_THRESHOLD_: "131072",
  MALLOC_TRIM_THRESHOLD_: "131072",
} as const;

/**
 * Where a process of ours keeps compiled code, which nobody but its user may write. In its environment, so that its first file is
 * read from there too: Node's part that compiles TypeScript takes 20 MiB in each process that uses it once.
 */
export function compileCacheOf({ paths }: Instance, role: "daemon" | "host" | "keeper"): string {
  return join(role === "daemon" ? paths.data : paths.host, "compile-cache");
}

export const DEFAULT_HOME = "/var/lib/stator";

/** `home` must be absolute and normalised; see `config.ts`. */
export function instanceOf(home: string): Instance {
  const id = createHash("sha256").update(home).digest("hex").slice(0, 6);
  const run = `/run/stator-${id}`;
  const host = join(home, "host");
  return {
    id,
    home,
    users: { daemon: `stator-${id}`, router: `stator-${id}-lb`, maker: `stator-${id}-mk` },
    nftTable: `stator_${id}`,
    interfacePrefix: `st${id}-`,
    netnsPrefix: `st${id}-`,
    cgroup: `stator-${id}`,
    paths: {
      settings: join(home, "stator.env"),
      data: join(home, "data"),
      host,
      logs: join(home, "logs"),
      run,
      hostSocket: join(run, "host.sock"),
      daemonRun: join(run, "daemon"),
      bundles: join(run, "bundles"),
      caCertificate: join(home, "ca.pem"),
      processLogs: join(home, "process-logs"),
    },
  };
}

/** What people type on the platform's machine for `stator`: on the PATH stands the standing instance's alone. */
export function programOf({ home }: Pick<Instance, "home">): string {
  return home === DEFAULT_HOME ? "stator" : join(home, "program", "current", "bin", "stator");
}
