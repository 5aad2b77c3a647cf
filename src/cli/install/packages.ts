import { existsSync } from "node:fs";
import { run } from "../../lib/command.ts";
import { clientEnvironment, runLoud } from "./client-programs.ts";

/** What the platform uses of the distribution, each with the part that needs it. */
const PACKAGES: readonly string[] = [
  "btrfs-progs", // the limited store of dynos' disks
  "ca-certificates",
  "conmon", // a dyno's terminal, log and exit status
  "crun", // starts containers
  "e2fsprogs", // the same, where the kernel has no btrfs
  "erofs-utils", // images of stacks and slugs
  "git", // the push of examples/hello, and yours
  "haproxy", // the router
  "iproute2", // network namespaces
  "kmod", // modules that images and walls need
  "libatomic1", // Node's own binary
  "libstdc++6",
  "mmdebstrap", // builds stacks
  "mount",
  "netbase", // names of protocols, which ip and nft look up
  "nftables", // walls between dynos
  "passwd", // system users
  "procps",
  "runc", // where crun cannot
  "util-linux",
];

/** Ubuntu does not bring the keys of Debian's archive, out of which the stack is made. */
const UBUNTU_PACKAGES: readonly string[] = ["debian-archive-keyring"];

export function packagesFor(distribution: string): readonly string[] {
  return distribution === "ubuntu" ? [...PACKAGES, ...UBUNTU_PACKAGES] : PACKAGES;
}

/** Those of the packages that are not installed. */
export async function missingPackages(names: readonly string[]): Promise<readonly string[]> {
  const options = { outputBytesMax: 64 * 1024 * 1024 };
  const { stdout } = await run("dpkg-query", ["-W", "-f", "${db:Status-Status} ${Package}\\n"], options);
  const installed = new Set(
    stdout
      .split("\n")
      .filter((line) => line.startsWith("installed "))
      .map((line) => line.slice("installed ".length)),
  );
  return names.filter((name) => !installed.has(name));
}

/** Installs packages through the machine's apt. What a package starts by itself (Debian starts HAProxy) is stopped again. */
export async function installPackages(names: readonly string[], detail: (text: string) => void): Promise<void> {
  const env = { ...clientEnvironment(), DEBIAN_FRONTEND: "noninteractive", NEEDRESTART_MODE: "l" };
  detail("package lists");
  await runLoud("apt-get", ["-q", "update"], { env, onLine: () => {} });
  await runLoud("apt-get", ["-q", "install", "-y", "--no-install-recommends", "--", ...names], {
    env,
    onLine: (line) => {
      const match = /^(Unpacking|Setting up) (\S+)/.exec(line);
      if (match) detail(`${match[1]} ${match[2]}`);
    },
  });
  if (names.includes("haproxy") && existsSync("/run/systemd/system")) {
    await run("systemctl", ["disable", "--now", "haproxy.service"]).catch(() => {}); // it may have no unit
  }
}
