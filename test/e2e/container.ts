import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { cpSync, existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { ended, run, start } from "../../src/lib/command.ts";
import { program, type Result } from "./harness.ts";

/**
 * A privileged container as `docker run --privileged debian:12` makes it, without docker: a tree by mmdebstrap, an overlay over
 * it as the root, runc with every capability we hold, no systemd. It shares the host's network, as CI machines give no other.
 */
export interface Container extends AsyncDisposable {
  /** Runs a program in it. */
  exec(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Result>;
}

/** In the order of their bits in the kernel. */
const CAPABILITIES = [
  "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE",
  "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN",
  "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE",
  "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE",
].flatMap((line) => line.split(" "));

/** The first process: it does nothing but take in orphans, as the init of a container. */
const INIT = ["perl", "-e", "while (1) { sleep 1 if wait() == -1 }"];

export async function startContainer(checkout: string): Promise<Container> {
  const folder = mkdtempSync("/var/tmp/stator-container-");
  const id = `stator-container-${randomBytes(4).toString("hex")}`;
  const runc = ["--root", join(folder, "state")];
  const root = join(folder, "root");
  const dispose = async () => {
    await run("runc", [...runc, "delete", "--force", id]).catch(() => {}); // it may never have started
    await run("umount", ["--lazy", "--", root]).catch(() => {}); // nor have been mounted
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await makeRoot(folder, root);
    writeFileSync(join(folder, "config.json"), JSON.stringify(configOf(root, checkout)));
    // With no pipe of ours: the first process would keep it open.
    const { code } = await ended(start("runc", [...runc, "run", "--detach", "--bundle", folder, id]), "runc");
    assert.equal(code, 0, "the container did not start");
  } catch (error) {
    await dispose();
    throw error;
  }
  const own = {
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    HOME: "/root",
    ...clientSettings(),
  };
  return {
    exec: (args, env = {}) => {
      const words = Object.entries({ ...own, ...env }).flatMap(([name, value]) => ["--env", `${name}=${value}`]);
      return program("runc", [...runc, "exec", "--cwd", "/", ...words, id, ...args], { timeoutMs: 900_000 });
    },
    [Symbol.asyncDispose]: dispose,
  };
}

/** A bare Debian as the lower layer, with the machine's own sources, authorities and npm settings. */
async function makeRoot(folder: string, root: string): Promise<void> {
  const lower = join(folder, "lower");
  for (const name of ["upper", "work", "root"]) mkdirSync(join(folder, name));
  await run("mmdebstrap", ["--mode=root", "--variant=minbase", "--skip=cleanup/apt/lists", "bookworm", lower], {
    timeoutMs: 600_000,
  });
  const copied = ["/etc/resolv.conf", "/root/.npmrc", ...globSync("/etc/apt/{sources.list,sources.list.d/*.sources}")];
  for (const path of copied.filter((each) => existsSync(each))) {
    mkdirSync(join(lower, dirname(path)), { recursive: true });
    cpSync(path, join(lower, path), { dereference: true });
  }
  const options = `lowerdir=${lower},upperdir=${join(folder, "upper")},workdir=${join(folder, "work")}`;
  await run("mount", ["-t", "overlay", "overlay", "-o", options, root]);
}

const AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt";
const AUTHORITIES_INSIDE = "/etc/machine-ca.pem";

function clientSettings(): Readonly<Record<string, string>> {
  const proxies = Object.entries(process.env).filter(
    (pair): pair is [string, string] => pair[1] !== undefined && /^(https?|no)_proxy$/i.test(pair[0]),
  );
  const authorities = existsSync(AUTHORITIES)
    ? { NODE_EXTRA_CA_CERTS: AUTHORITIES_INSIDE, npm_config_cafile: AUTHORITIES_INSIDE }
    : {};
  return { ...Object.fromEntries(proxies), ...authorities };
}

function configOf(root: string, checkout: string): unknown {
  const all = heldCapabilities();
  const bind = (source: string, destination: string) => ({
    destination,
    source,
    type: "bind",
    options: ["rbind", "ro"],
  });
  return {
    ociVersion: "1.0.2",
    hostname: "bare",
    root: { path: root, readonly: false },
    process: {
      args: INIT,
      cwd: "/",
      env: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "container=test"],
      user: { uid: 0, gid: 0 },
      capabilities: { bounding: all, effective: all, permitted: all, inheritable: all },
    },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"] },
      { destination: "/dev/pts", type: "devpts", source: "devpts", options: ["newinstance", "ptmxmode=0666", "gid=5"] },
      { destination: "/dev/shm", type: "tmpfs", source: "shm" },
      { destination: "/sys", type: "sysfs", source: "sysfs" },
      { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["nosuid", "noexec", "nodev", "rw"] },
      { destination: "/run", type: "tmpfs", source: "tmpfs", options: ["mode=755"] },
      bind(checkout, "/src"),
      ...(existsSync(AUTHORITIES) ? [bind(AUTHORITIES, AUTHORITIES_INSIDE)] : []),
    ],
    linux: {
      namespaces: ["mount", "pid", "ipc", "uts", "cgroup"].map((type) => ({ type })),
      resources: { devices: [{ allow: true, access: "rwm" }] },
    },
  };
}

function heldCapabilities(): readonly string[] {
  const held = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0"}`);
  return CAPABILITIES.filter((_, bit) => ((held >> BigInt(bit)) & 1n) === 1n).map((name) => `CAP_${name}`);
}
