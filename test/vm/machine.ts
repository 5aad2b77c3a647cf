import { existsSync, globSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type ChildProcess, ended, run, start } from "../../src/lib/command.ts";

/** A Debian machine with systemd and cgroup v2, emulated by QEMU without KVM; reached by ssh on a forwarded port. */
export interface Machine extends AsyncDisposable {
  /** Runs a command line in the machine's own shell (it is the user's side, not the host). */
  shell(
    commandLine: string,
    options?: ShellOptions,
  ): Promise<{ readonly code: number | null; readonly output: string }>;
  /** Asks it to reboot and waits until it answers again. */
  reboot(): Promise<void>;
  /** Ends it without a word, and starts it again. */
  powerCut(): Promise<void>;
}

export interface ShellOptions {
  readonly input?: string | Uint8Array;
  readonly timeoutMs?: number;
  /** Shows the output while it comes. */
  readonly loud?: boolean;
}

export const HOST_PACKAGES = ["qemu-system-x86", "mmdebstrap", "e2fsprogs", "openssh-client", "qemu-utils"] as const;

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
  // Debian's npm is 500 packages: ten minutes of emulated dpkg, for what the container test shows anyway.
  "nodejs",
  "npm",
];

/** Makes the disk image in `folder`: nothing of ours in it, but the host's own apt and npm settings and CA. */
export async function makeImage(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const key = join(folder, "key");
  if (!existsSync(key)) await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
  const network = join(folder, "wired.network");
  writeFileSync(network, "[Match]\nName=e*\n[Network]\nDHCP=yes\n");
  const fstab = join(folder, "fstab");
  writeFileSync(fstab, "/dev/vda / ext4 defaults,noatime 0 1\n");
  const tree = join(folder, "tree");
  const copied = [...globSync("/etc/apt/sources.list.d/*"), ...globSync("/usr/local/share/ca-certificates/*.crt")].map(
    (path) => `--customize-hook=copy-in ${path} ${path.slice(0, path.lastIndexOf("/"))}`,
  );
  const hooks = [
    '--customize-hook=mkdir -p "$1/root/.ssh" "$1/usr/local/share/ca-certificates"',
    ...copied,
    `--customize-hook=upload ${key}.pub /root/.ssh/authorized_keys`,
    `--customize-hook=upload ${network} /etc/systemd/network/wired.network`,
    `--customize-hook=upload ${fstab} /etc/fstab`,
    ...(existsSync("/root/.npmrc") ? ["--customize-hook=upload /root/.npmrc /root/.npmrc"] : []),
    '--customize-hook=chroot "$1" systemctl enable systemd-networkd systemd-resolved ssh',
    '--customize-hook=chroot "$1" update-ca-certificates',
    '--customize-hook=chroot "$1" ssh-keygen -A',
    '--customize-hook=echo stator-vm > "$1/etc/hostname"',
    '--customize-hook=chmod 700 "$1/root/.ssh"',
  ];
  await run("mmdebstrap", ["--variant=minbase", `--include=${GUEST_PACKAGES.join(",")}`, ...hooks, "bookworm", tree], {
    timeoutMs: 600_000,
    env: { HOME: "/root" },
  });
  const image = join(folder, "disk.img");
  await run("mke2fs", ["-q", "-t", "ext4", "-d", tree, image, "16G"], { timeoutMs: 600_000 });
  const boot = join(tree, "boot");
  const named = (prefix: string) => join(boot, readdirSync(boot).find((name) => name.startsWith(prefix)) ?? prefix);
  await run("cp", ["--", named("vmlinuz-"), join(folder, "vmlinuz")]);
  await run("cp", ["--", named("initrd.img-"), join(folder, "initrd")]);
  await run("rm", ["-rf", "--one-file-system", "--", tree]);
}

/** A second disk with what lies in `stacks`, for the machines that are booted from now on. */
export async function makeStacksImage(folder: string, stacks: string): Promise<void> {
  const image = join(folder, STACKS_IMAGE);
  rmSync(image, { force: true });
  await run("mke2fs", ["-q", "-t", "ext4", "-d", stacks, image, "1500M"], { timeoutMs: 120_000 });
}

const STACKS_IMAGE = "stacks.img";

/** Boots the image of `folder` and resolves once it takes commands. */
export async function boot(folder: string): Promise<Machine> {
  const machine = new EmulatedMachine(folder, await freePort());
  await machine.waitUntilUp();
  return machine;
}

function qemuArguments(folder: string, sshPort: number): readonly string[] {
  const options: Readonly<Record<string, string>> = {
    accel: "tcg,thread=multi",
    cpu: "max",
    smp: "2",
    m: "4096",
    kernel: join(folder, "vmlinuz"),
    initrd: join(folder, "initrd"),
    append: "root=/dev/vda rw console=ttyS0 quiet",
    drive: `file=${join(folder, "disk.img")},format=raw,if=virtio,cache=unsafe`,
    netdev: `user,id=n0,hostfwd=tcp:127.0.0.1:${sshPort}-:22`,
    device: "virtio-net-pci,netdev=n0",
    serial: `file:${join(folder, "console.log")}`,
    monitor: "none",
    display: "none",
  };
  // Without KVM a reset of the machine hangs: QEMU ends instead, and is started again.
  const second = join(folder, STACKS_IMAGE);
  return [
    "-no-reboot",
    ...Object.entries(options).flatMap(([name, value]) => [`-${name}`, value]),
    ...(existsSync(second) ? ["-drive", `file=${second},format=raw,if=virtio,readonly=on`] : []),
  ];
}

const REBOOT_MS_MAX = 180_000;

class EmulatedMachine implements Machine {
  readonly #folder: string;
  readonly #port: number;
  #qemu: ChildProcess;

  constructor(folder: string, port: number) {
    this.#folder = folder;
    this.#port = port;
    this.#qemu = this.#powerOn();
  }

  #powerOn(): ChildProcess {
    return start("qemu-system-x86_64", qemuArguments(this.#folder, this.#port), {
      stdio: ["ignore", "ignore", "inherit"],
    });
  }

  async shell(commandLine: string, asked: ShellOptions = {}): Promise<{ code: number | null; output: string }> {
    const options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=20"];
    const where = ["-i", join(this.#folder, "key"), "-p", String(this.#port), "root@127.0.0.1"];
    const ssh = start("ssh", [...options.flatMap((option) => ["-o", option]), ...where, commandLine], {
      stdio: [asked.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    });
    let output = "";
    const take = (chunk: Buffer) => {
      output += chunk.toString("utf8");
      if (asked.loud) process.stdout.write(chunk);
    };
    ssh.stdout?.on("data", take);
    ssh.stderr?.on("data", take);
    ssh.stdin?.on("error", () => {}); // its status tells
    ssh.stdin?.end(asked.input);
    const timer = setTimeout(() => ssh.kill("SIGKILL"), asked.timeoutMs ?? 60_000);
    const { code } = await ended(ssh, "ssh");
    clearTimeout(timer);
    return { code, output };
  }

  async waitUntilUp(): Promise<void> {
    const until = performance.now() + 240_000;
    for (;;) {
      if (this.#qemu.exitCode !== null) throw new Error(`QEMU ended with ${this.#qemu.exitCode}`);
      const { output } = await this.shell("systemctl is-system-running --wait", { timeoutMs: 90_000 });
      if (/^(running|degraded)/m.test(output)) return;
      if (performance.now() > until)
        throw new Error(`the machine did not come up: see ${this.#folder}/console.log: ${output}`);
      await pause(2_000);
    }
  }

  async reboot(): Promise<void> {
    const off = ended(this.#qemu, "qemu");
    await this.shell("systemctl reboot", { timeoutMs: 10_000 });
    const late = setTimeout(() => this.#qemu.kill("SIGKILL"), REBOOT_MS_MAX); // then it is a power cut
    await off;
    clearTimeout(late);
    this.#qemu = this.#powerOn();
    await this.waitUntilUp();
  }

  async powerCut(): Promise<void> {
    await this[Symbol.asyncDispose]();
    this.#qemu = this.#powerOn();
    await this.waitUntilUp();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = this.#qemu.exitCode === null ? ended(this.#qemu, "qemu") : Promise.resolve(undefined);
    this.#qemu.kill("SIGKILL");
    await gone;
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number }; // a TCP server has one
      server.close(() => resolve(port));
    });
  });
}
