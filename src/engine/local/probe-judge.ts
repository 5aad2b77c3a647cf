import { DISK_MECHANISMS, type DiskMechanism } from "../../model/disk.ts";
import { gvisorRefusal } from "./gvisor.ts";
import type { HostFacts } from "./probe-facts.ts";

/** One thing that the host offers or not, in words that a person can act on. */
export interface Finding {
  readonly id: string;
  readonly title: string;
  readonly verdict: "ok" | "degraded" | "missing";
  readonly detail: string;
}

/** What the facts mean for dynos. Pure. */
export function judge(facts: HostFacts): readonly Finding[] {
  return [
    kernel(facts),
    container(facts),
    systemd(facts),
    cgroup(facts),
    runtime(facts),
    gvisor(facts),
    ...packages(facts),
    userNamespaces(facts),
    proc(facts),
    nftables(facts),
    forwarding(facts),
    module(facts, "erofs", "EROFS", "Stacks and slugs cannot be mounted. Use a kernel of Debian or Ubuntu."),
    module(facts, "overlay", "overlay file system", "Dynos get no writable /app. Use a kernel of Debian or Ubuntu."),
    loop(facts),
    quota(facts),
    disk(facts),
    memory(facts),
    files(facts),
    capability(facts),
    resolver(facts),
    ipv6(facts),
  ];
}

const GIB = 1024 ** 3;
/** HAProxy's own descriptors, beside two for each connection. */
const OWN_FILES = 200;

/** Connections that HAProxy can hold under a hard limit of open files. */
export const connectionsFor = (filesMax: number): number => Math.max(0, Math.floor((filesMax - OWN_FILES) / 2));

const ok = (id: string, title: string, detail: string): Finding => ({ id, title, verdict: "ok", detail });
const degraded = (id: string, title: string, detail: string): Finding => ({ id, title, verdict: "degraded", detail });
const missing = (id: string, title: string, detail: string): Finding => ({ id, title, verdict: "missing", detail });
const NEEDS_ROOT = "Only root can find out: sudo stator doctor.";

function kernel({ kernel: version, architecture }: HostFacts): Finding {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const text = `Linux ${version}, ${architecture}.`;
  if (architecture !== "x64" && architecture !== "arm64")
    return missing("kernel", "kernel", `${text} Dynos run on amd64 and arm64 only.`);
  // 5.11: overlays inside user namespaces.
  return major > 5 || (major === 5 && minor >= 11)
    ? ok("kernel", "kernel", text)
    : missing("kernel", "kernel", `${text} Version 5.11 or newer is needed: upgrade the machine.`);
}

function container(facts: HostFacts): Finding {
  return ok(
    "container",
    "kind of machine",
    facts.container ? "Runs inside a container, which must be privileged." : "Not inside a container.",
  );
}

function systemd(facts: HostFacts): Finding {
  return ok(
    "systemd",
    "service manager",
    facts.systemd
      ? "The platform is kept running by systemd."
      : "No systemd: two background processes keep each other running; after a reboot run: stator up.",
  );
}

function cgroup({ cgroup: { kind, controllers } }: HostFacts): Finding {
  const [id, title] = ["cgroup", "control groups"];
  if (kind === "none") return missing(id, title, "None are mounted at /sys/fs/cgroup: a container needs --privileged.");
  const lacking = ["cpu", "memory", "pids"].filter((each) => !controllers.includes(each));
  if (lacking.length > 0)
    return missing(id, title, `Version ${kind} without ${lacking.join(", ")}: these limits of dynos cannot be held.`);
  if (kind === "v2") return ok(id, title, `Version 2 with ${controllers.join(", ")}.`);
  const name = kind === "hybrid" ? "Version 1 with a version 2 beside it" : "Version 1";
  return degraded(
    id,
    title,
    `${name}: buffered writes of a dyno are not counted against its I/O limit; version 2 counts them.`,
  );
}

function runtime(facts: HostFacts): Finding {
  const [id, title] = ["runtime", "container runtime"];
  if (facts.trials === null) return degraded(id, title, NEEDS_ROOT);
  const { crun, runc } = facts.trials;
  if (crun.works) return ok(id, title, "Containers start with crun, all walls up.");
  if (runc.works) return degraded(id, title, `runc works, crun does not, so starts take twice as long: ${crun.error}`);
  return missing(id, title, `No container starts with crun or runc: ${crun.error}`);
}

/** Nobody needs it who does not ask for it. */
function gvisor({ architecture, gvisor: { version, trial } }: HostFacts): Finding {
  const [id, title] = ["isolation-gvisor", "isolation class gvisor"];
  const refusal = gvisorRefusal({ architecture, version, trialError: trial?.error ?? null });
  if (version === undefined || architecture !== "x64") return ok(id, title, refusal ?? "");
  if (refusal !== null) return degraded(id, title, refusal.endsWith(".") ? refusal : `${refusal}.`);
  return trial === null
    ? degraded(id, title, NEEDS_ROOT)
    : ok(id, title, "Apps may ask for it: stator isolation gvisor.");
}

function packages(facts: HostFacts): readonly Finding[] {
  return Object.entries(facts.packages).map(([name, version]) => {
    const id = `package-${name}`;
    if (version !== null) return ok(id, name, `Version ${version}.`);
    const spare = name === "runc" || (name === "crun" && facts.packages["runc"] !== null);
    return (spare ? degraded : missing)(id, name, `Not installed: apt-get install ${name}, or run: stator up.`);
  });
}

function userNamespaces(facts: HostFacts): Finding {
  const [id, title] = ["user-namespaces", "user namespaces"];
  if (facts.userNamespacesMax === 0)
    return missing(
      id,
      title,
      "Turned off: sysctl user.max_user_namespaces=15000, and in /etc/sysctl.d for the next boot.",
    );
  return facts.userNamespacesMax < 2000
    ? degraded(id, title, `At most ${facts.userNamespacesMax} dynos: raise user.max_user_namespaces.`)
    : ok(id, title, `Up to ${facts.userNamespacesMax}.`);
}

function proc({ trials }: HostFacts): Finding {
  const [id, title] = ["proc", "/proc in dynos"];
  if (trials === null) return degraded(id, title, NEEDS_ROOT);
  const works = [trials.crun, trials.runc].find((trial) => trial.works);
  if (works === undefined) return degraded(id, title, "Cannot be told as long as no container starts.");
  if (works.proc) return ok(id, title, "Each dyno gets its own.");
  return missing(
    id,
    title,
    "Cannot be mounted in a user namespace: parts of this machine's own /proc are hidden. A container needs --privileged.",
  );
}

function nftables({ nftError }: HostFacts): Finding {
  const [id, title] = ["nftables", "network rules"];
  if (nftError === null) return degraded(id, title, NEEDS_ROOT);
  return nftError === ""
    ? ok(id, title, "nftables with address translation and route checks.")
    : missing(id, title, `Dynos cannot be kept apart: ${nftError}`);
}

function forwarding({ forwardDroppedBy: tables }: HostFacts): Finding {
  const [id, title] = ["forwarding", "way to the internet"];
  if (tables.length === 0) return ok(id, title, "No other firewall drops forwarded packets.");
  const [first = ""] = tables;
  return degraded(
    id,
    title,
    `The firewall table ${tables.join(", ")} drops forwarded packets, so dynos may not reach the internet. Allow those from the interfaces st*, for example: nft insert rule ${first} ${first === "ip filter" ? "FORWARD" : "forward"} iifname "st*" accept (and oifname "st*").`,
  );
}

function module({ modules }: HostFacts, id: string, title: string, otherwise: string): Finding {
  return modules.includes(id)
    ? ok(id, title, "The kernel has it.")
    : missing(id, title, `The kernel lacks it. ${otherwise}`);
}

function loop({ modules, loopControl, root }: HostFacts): Finding {
  const [id, title] = ["loop", "loop devices"];
  if (loopControl || modules.includes("loop"))
    return ok(id, title, loopControl ? "The kernel makes them on demand." : "The device files are made when needed.");
  return root
    ? missing(
        id,
        title,
        "The kernel has none, so no image can be mounted: modprobe loop, or run the container with --privileged.",
      )
    : degraded(id, title, NEEDS_ROOT);
}

const DISKS: Readonly<Record<DiskMechanism, string>> = {
  btrfs:
    "btrfs quota groups hold bytes, and what describes a file counts as bytes; a full disk says EDQUOT (Disk quota exceeded); df in a dyno shows the whole store.",
  project:
    "ext4 project quotas hold bytes and files; a full disk says EDQUOT (Disk quota exceeded); df in a dyno shows its own.",
  image:
    "An ext4 image for each dyno holds bytes and files; a full disk says ENOSPC (No space left on device); df in a dyno shows its own.",
};

function quota({ disks: { setting, standing, trials } }: HostFacts): Finding {
  const [id, title] = ["quota", "limits on disks"];
  const works = DISK_MECHANISMS.filter((each) => trials?.[each] === "");
  const used = standing ?? works.find((each) => setting === "auto" || setting === each) ?? null;
  if (used === null && trials === null) return degraded(id, title, NEEDS_ROOT);
  if (used === null || used === "none") {
    const why = DISK_MECHANISMS.map((each) => `${each}: ${trials?.[each] || "works, once no dyno runs"}`).join("; ");
    return degraded(id, title, `A dyno's disk has no limit of its own. ${trials === null ? NEEDS_ROOT : `${why}.`}`);
  }
  const others = works.filter((each) => each !== used);
  const choice = others.length === 0 ? "" : ` Could be used here too: ${others.join(", ")} (STATOR_DISK).`;
  if (setting !== "auto" && setting !== used)
    return degraded(id, title, `STATOR_DISK=${setting} is not followed (yet): stator down, stator up. ${DISKS[used]}`);
  return ok(id, title, `${DISKS[used]}${choice}`);
}

function disk({ disk: { path, freeBytes, overlay } }: HostFacts): Finding {
  const [id, title] = ["disk", "free disk"];
  const text = `${(freeBytes / GIB).toFixed(1)} GiB free at ${path}.`;
  if (overlay)
    return degraded(
      id,
      title,
      `${text} It is a container's overlay: put STATOR_HOME on a volume, or its state ends with the container.`,
    );
  if (freeBytes < 2 * GIB)
    return missing(id, title, `${text} At least 2 GiB are needed: free some, or set STATOR_HOME to a larger disk.`);
  return freeBytes < 10 * GIB
    ? degraded(id, title, `${text} Builds and logs of several apps want 10 GiB.`)
    : ok(id, title, text);
}

function memory({ memory: { totalBytes, availableBytes } }: HostFacts): Finding {
  const [id, title] = ["memory", "memory"];
  const text = `${(availableBytes / GIB).toFixed(1)} of ${(totalBytes / GIB).toFixed(1)} GiB available.`;
  return totalBytes < 1.5 * GIB
    ? degraded(id, title, `${text} One dyno may use 512 MiB, a build 2 GiB.`)
    : ok(id, title, text);
}

function files({ filesMax }: HostFacts): Finding {
  const [id, title] = ["files", "open files"];
  const text = `Hard limit ${filesMax}: the router holds up to ${connectionsFor(filesMax)} connections.`;
  return filesMax < 20_000
    ? degraded(id, title, `${text} Raise it (ulimit -Hn, LimitNOFILE) for more.`)
    : ok(id, title, text);
}

function capability({ sysResource }: HostFacts): Finding {
  return sysResource
    ? ok("sys-resource", "CAP_SYS_RESOURCE", "Limits may be raised.")
    : degraded(
        "sys-resource",
        "CAP_SYS_RESOURCE",
        "Not held: limits on open files stay at the inherited ones, and the platform is not preferred when memory runs out.",
      );
}

function resolver({ resolvers: { named, usable } }: HostFacts): Finding {
  const [id, title] = ["resolver", "name resolution in dynos"];
  const [first] = usable;
  if (first === undefined)
    return missing(
      id,
      title,
      `Dynos reach name servers over IPv4 only, and /etc/resolv.conf names ${named.join(", ")}: add an IPv4 one.`,
    );
  return ok(
    id,
    title,
    `${first} (${kindOf(first)})${named.includes(first) || named.length === 0 ? "" : `, behind ${named.join(", ")}`}.`,
  );
}

/** What kind of place a name server's address is. */
export function kindOf(address: string): string {
  if (address.startsWith("127.")) return "on this machine";
  if (address.startsWith("169.254.")) return "link-local";
  return /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.)/.test(address)
    ? "on a private network"
    : "on the internet";
}

function ipv6(facts: HostFacts): Finding {
  return ok(
    "ipv6",
    "IPv6",
    facts.ipv6
      ? "The machine has an address, behind which dynos reach the internet."
      : "The machine has no address: dynos reach the internet by IPv4 only.",
  );
}
