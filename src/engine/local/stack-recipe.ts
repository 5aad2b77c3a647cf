import { createHash } from "node:crypto";
import type { StackName } from "../engine.ts";

/** What a stack is made of. Pure; its hash decides whether an image is still the right one. */
export interface StackRecipe {
  readonly name: StackName;
  readonly suite: string;
  /** Added to the distribution's essential packages. */
  readonly packages: readonly string[];
}

/** Packages that the host needs to build and to mount stacks. */
export const STACK_HOST_PACKAGES: readonly string[] = ["mmdebstrap", "erofs-utils", "debian-archive-keyring"];

const SUITE = "bookworm";

const RUN_PACKAGES = [
  "usr-is-merged", // instead of usrmerge, which needs 50 MB of Perl
  "ca-certificates",
  "curl",
  "libatomic1",
  "libnss-myhostname",
  "libstdc++6",
  "locales",
  "media-types",
  "netbase",
  "procps",
  "python3",
  "tini",
  "tzdata",
];

const BUILD_PACKAGES = ["build-essential", "git", "pkg-config", "rsync", "unzip", "xz-utils", "zip"];

export const RECIPES: Readonly<Record<StackName, StackRecipe>> = {
  "debian-12": { name: "debian-12", suite: SUITE, packages: RUN_PACKAGES },
  "debian-12-build": { name: "debian-12-build", suite: SUITE, packages: [...RUN_PACKAGES, ...BUILD_PACKAGES] },
};

/** What the build stack has on top: it is the run stack's tree, extended. */
export const EXTRA_BUILD_PACKAGES: readonly string[] = BUILD_PACKAGES;

/** Every file of a stack is this old (2023-06-10, Debian 12): the same packages give the same bytes. */
export const SOURCE_DATE_EPOCH = 1_686_355_200;

/** Never installed: pages for people. Licences stay, since images travel. */
export const DPKG_OPTIONS: readonly string[] = [
  "force-unsafe-io",
  "path-exclude=/usr/share/man/*",
  "path-exclude=/usr/share/info/*",
  "path-exclude=/usr/share/lintian/*",
  "path-exclude=/usr/share/locale/*",
  "path-exclude=/usr/share/doc/*",
  "path-include=/usr/share/doc/*/copyright",
];

/** Emptied, so that nothing of this machine and of this day stays. */
export const EMPTIED: readonly string[] = [
  "/dev",
  "/etc/apt",
  "/run",
  "/tmp",
  "/usr/share/i18n",
  "/var/cache",
  "/var/lib/apt",
  "/var/log",
  "/var/tmp",
];

export const REMOVED: readonly string[] = [
  "/etc/.pwd.lock",
  "/etc/dpkg/dpkg.cfg.d/99mmdebstrap",
  "/etc/group-",
  "/etc/gshadow-",
  "/etc/passwd-",
  "/etc/shadow-",
  "/usr/sbin/policy-rc.d",
  "/var/lib/dpkg/diversions-old",
  "/var/lib/dpkg/lock",
  "/var/lib/dpkg/lock-frontend",
  "/var/lib/dpkg/status-old",
  "/var/lib/dpkg/triggers/Lock",
];

/** Where the engine mounts things: folders. */
export const MOUNT_FOLDERS: readonly string[] = [
  "/app",
  "/cache",
  "/dev",
  "/etc/profile.d",
  "/etc/stator",
  "/opt/stator/buildkit",
  "/opt/stator/toolchain",
  "/proc",
  "/repo",
  "/run/stator",
  "/sys/fs/cgroup",
  "/tmp",
  "/var/tmp",
];

/** Files with these contents; the engine mounts its own over the empty ones. */
export const FILES: Readonly<Record<string, string>> = {
  "/etc/bash.bashrc": "", // the distribution's sets a prompt of its own; dynos have theirs in PS1 (spec 4.4)
  "/etc/fstab": "",
  "/etc/hostname": "",
  "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
  "/etc/machine-id": "",
  "/etc/resolv.conf": "",
  "/etc/stator/ca.pem": "",
};

/** `name:...` lines added to the files of users and groups. */
export const DYNO_USER = "dyno:x:1000:1000::/app:/bin/bash";
export const DYNO_GROUP = "dyno:x:1000:";

/** Names: the file, `*.localhost` and the own host name, then the servers. */
export const NAME_SERVICES = "hosts: files myhostname dns";

/** Changes when anything above, or what is done with it (`FORMAT`), changes. */
export function recipeHash(recipe: StackRecipe): string {
  const all = [FORMAT, recipe, SOURCE_DATE_EPOCH, DPKG_OPTIONS, EMPTIED, REMOVED, MOUNT_FOLDERS, FILES];
  const rest = [DYNO_USER, DYNO_GROUP, NAME_SERVICES];
  return createHash("sha256")
    .update(JSON.stringify([...all, ...rest]))
    .digest("hex")
    .slice(0, 16);
}

/** To be raised when the code that follows the recipe changes what comes out. */
const FORMAT = 1;
