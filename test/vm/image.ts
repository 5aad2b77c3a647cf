import { existsSync, globSync, linkSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { clientEnvironment } from "../../src/cli/install/client-programs.ts";
import { packagesFor } from "../../src/cli/install/packages.ts";
import { withoutDevelopment } from "../../src/cli/install/production.ts";
import { run } from "../../src/lib/command.ts";

/** The disk images of `npm run test:vm`. What makes them runs on the host, where nothing is emulated. */
export const HOST_PACKAGES = [
  "qemu-system-x86",
  "mmdebstrap",
  "e2fsprogs",
  "erofs-utils",
  "openssh-client",
  "qemu-utils",
] as const;

const GUEST_PACKAGES = [
  "systemd-sysv",
  "systemd-resolved",
  "libpam-systemd",
  "dbus",
  "udev",
  "kmod",
  "linux-image-cloud-amd64",
  "openssh-server",
  "ca-certificates",
  "iproute2",
  "apt",
  "curl", // the checks ask with it
  "libatomic1", // of Node's, which most machines have: without it bin/up asks apt twice, half a minute each time
  // Debian's npm is 500 packages: ten minutes of emulated dpkg, for what the container test shows anyway.
  "nodejs",
  "npm",
];

/** Housekeeping that would come in between. */
const NOT_NEEDED = [
  "apt-daily.timer",
  "apt-daily-upgrade.timer",
  "dpkg-db-backup.timer",
  "e2scrub_all.timer",
  "e2scrub_reap.service",
];

const NPM_CACHE = "npm-cache";
/** A disk that has other work too. */
const SLOWLY = { timeoutMs: 600_000 };

/**
 * Makes the disk image in `folder`. Nothing of ours is in it but the stacks, where there are some (a folder): the host's own apt and npm
 * settings and CA are, and the caches of apt and npm hold what `bin/up` of this checkout will ask for, as on a machine that has
 * installed such things before.
 */
export async function makeImage(folder: string, checkout: string, stacks: Promise<string | undefined>): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const key = join(folder, "key");
  if (!existsSync(key)) await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
  const tree = join(folder, "tree");
  await run("rm", ["-rf", "--one-file-system", "--", tree], SLOWLY); // of a run that was ended
  const all = [stacks, fillNpmCache(folder, checkout), bootstrap(folder, tree)] as const;
  await Promise.allSettled(all); // what failed must not go on beside the rest: it has mounts in the tree
  const [stacksFolder] = await Promise.all(all);
  if (stacksFolder !== undefined) await bringStacks(stacksFolder, tree);
  await run("cp", ["-r", "--", join(folder, NPM_CACHE), join(tree, "root", ".npm")], SLOWLY);
  const image = join(folder, "disk.img");
  rmSync(image, { force: true });
  writeFileSync(image, "", { mode: 0o600 }); // the host's npm settings are in it
  await run("mke2fs", ["-q", "-t", "ext4", "-d", tree, image, "20G"], SLOWLY);
  const boot = join(tree, "boot");
  const named = (prefix: string) => join(boot, readdirSync(boot).find((name) => name.startsWith(prefix)) ?? prefix);
  await run("cp", ["--", named("vmlinuz-"), join(folder, "vmlinuz")]);
  await run("cp", ["--", named("initrd.img-"), join(folder, "initrd")]);
  await run("rm", ["-rf", "--one-file-system", "--", tree], SLOWLY);
}

/** By links where that can be: a gigabyte. */
async function bringStacks(from: string, tree: string): Promise<void> {
  const to = join(tree, "var", "lib", "stator", "host", "stacks");
  mkdirSync(to, { recursive: true, mode: 0o755 });
  for (const name of readdirSync(from).filter((each) => each.startsWith("debian-"))) {
    try {
      linkSync(join(from, name), join(to, name));
    } catch {
      await run("cp", ["--", join(from, name), to], SLOWLY); // another file system
    }
  }
}

/** Debian with systemd, and in its apt cache the packages that `bin/up` installs. */
async function bootstrap(folder: string, tree: string): Promise<void> {
  const written = (name: string, text: string, mode = 0o644) => {
    const path = join(folder, name);
    writeFileSync(path, text, { mode });
    return path;
  };
  const uploaded = Object.entries({
    "/etc/systemd/network/wired.network": written("wired.network", "[Match]\nName=e*\n[Network]\nDHCP=yes\n"),
    "/etc/fstab": written("fstab", "/dev/vda / ext4 defaults,noatime 0 1\n"),
    "/etc/hostname": written("hostname", "stator-vm\n"),
    "/etc/dpkg/dpkg.cfg.d/throw-away": written("dpkg.cfg", "force-unsafe-io\n"),
    // QEMU gets the kernel and its initrd from outside; making another one for btrfs-progs takes minutes there.
    "/etc/initramfs-tools/update-initramfs.conf": written(
      "initramfs.conf",
      "update_initramfs=no\nbackup_initramfs=no\n",
    ),
    "/root/.ssh/authorized_keys": join(folder, "key.pub"),
    // What is in its cache npm takes from there, and does not ask the registry first whether it still is so.
    "/root/.npmrc": written("npmrc", `${textOf("/root/.npmrc")}prefer-offline=true\n`, 0o600),
  }).map(([to, from]) => `--customize-hook=upload ${from} ${to}`);
  const copied = [
    ...globSync("/etc/apt/sources.list.d/debian*"),
    ...globSync("/usr/local/share/ca-certificates/*.crt"),
  ];
  const hooks = [
    '--customize-hook=mkdir -p "$1/root/.ssh" "$1/usr/local/share/ca-certificates"',
    ...copied.map((path) => `--customize-hook=copy-in ${path} ${dirname(path)}`),
    ...uploaded,
    '--customize-hook=chroot "$1" systemctl enable systemd-networkd systemd-resolved ssh',
    `--customize-hook=chroot "$1" systemctl mask ${NOT_NEEDED.join(" ")}`,
    '--customize-hook=chroot "$1" update-ca-certificates',
    '--customize-hook=chroot "$1" ssh-keygen -A',
    '--customize-hook=chmod -R go= "$1/root"',
    // The host's apt, for the new machine's tree: names resolve in that one only once it runs.
    `--customize-hook=APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get -q install -y --no-install-recommends --download-only ${packagesFor("debian").join(" ")}`,
  ];
  const options = [
    "--variant=minbase",
    "--skip=cleanup/apt",
    "--dpkgopt=force-unsafe-io",
    `--include=${GUEST_PACKAGES.join(",")}`,
    ...hooks,
  ];
  await run("mmdebstrap", [...options, "bookworm", tree], { timeoutMs: 600_000, env: { HOME: "/root" } });
}

function textOf(path: string): string {
  return existsSync(path) ? `${readFileSync(path, "utf8").trimEnd()}\n` : "";
}

/** What npm fetches in `bin/up`, and for the test of the official CLI. */
async function fillNpmCache(folder: string, checkout: string): Promise<void> {
  for (const part of ["toolchain", ".", "test/official-cli"]) {
    const work = join(folder, "npm-work");
    rmSync(work, { recursive: true, force: true });
    mkdirSync(work);
    const text = (file: string) => readFileSync(join(checkout, part, file), "utf8");
    const both = { manifest: text("package.json"), lock: text("package-lock.json") };
    const { manifest, lock } = part === "." ? withoutDevelopment(both) : both;
    writeFileSync(join(work, "package.json"), manifest);
    writeFileSync(join(work, "package-lock.json"), lock);
    const options = ["--ignore-scripts", "--no-audit", "--no-fund", "--cache", join(folder, NPM_CACHE)];
    await run("npm", ["ci", "--prefix", work, ...options], { env: clientEnvironment(), timeoutMs: 300_000 });
    rmSync(work, { recursive: true });
  }
}
