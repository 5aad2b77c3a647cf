import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type ChildProcess, ended, start } from "../../src/lib/command.ts";
import { STACKS_IMAGE } from "./image.ts";

/** A Debian machine with systemd and cgroup v2, emulated by QEMU without KVM; reached by ssh on a forwarded port. */
export interface Machine extends AsyncDisposable {
  /** Runs a command line in the machine's own shell (it is the user's side, not the host). */
  shell(
    commandLine: string,
    options?: ShellOptions,
  ): Promise<{ readonly code: number | null; readonly output: string }>;
  /** Asks it to reboot and waits until it answers again; the seconds that took. */
  reboot(): Promise<number>;
  /** Ends it with SIGKILL, and starts it again: what it had not written to its disk is gone. */
  powerCut(): Promise<void>;
}

export interface ShellOptions {
  readonly input?: string | Uint8Array;
  readonly timeoutMs?: number;
  /** Gets the output while it comes. */
  readonly onOutput?: (text: string) => void;
}

/** Boots the image of `folder` and resolves once it takes commands. */
export async function boot(folder: string): Promise<Machine> {
  const machine = new EmulatedMachine(folder, await freePort());
  await machine.waitUntilUp();
  return machine;
}

// The emulated processors' time stamp counters are one, which the kernel does not believe: it would read HPET, with a
// leave of the emulation for each look at the clock. Five levels of page tables are a fifth slower to walk, and there are no attacks
// on an emulated processor.
/**
 * As it is: without "fast" string instructions (`-erms,-fsrm`), which QEMU emulates byte by byte, memory is copied twice as fast, but Node
 * died in two of two starts on a quiet machine (a check of V8's, `it->second.Size() > offset`).
 */
const CPU = "max";
const KERNEL_OPTIONS = "tsc=reliable no5lvl mitigations=off";

function qemuArguments(folder: string, sshPort: number): readonly string[] {
  const options: Readonly<Record<string, string>> = {
    accel: "tcg,thread=multi",
    cpu: CPU,
    smp: "2",
    m: "4096",
    kernel: join(folder, "vmlinuz"),
    initrd: join(folder, "initrd"),
    append: `root=/dev/vda rw console=ttyS0 quiet ${KERNEL_OPTIONS}`,
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
  #qemu: ChildProcess | undefined;
  #off: Promise<unknown> = Promise.resolve();

  constructor(folder: string, port: number) {
    this.#folder = folder;
    this.#port = port;
    this.#powerOn();
    process.once("exit", () => this.#qemu?.kill("SIGKILL"));
  }

  #powerOn(): void {
    const qemu = start("qemu-system-x86_64", qemuArguments(this.#folder, this.#port), {
      stdio: ["ignore", "ignore", "inherit"],
    });
    this.#qemu = qemu;
    this.#off = ended(qemu, "qemu").finally(() => {
      if (this.#qemu === qemu) this.#qemu = undefined;
    });
  }

  async shell(commandLine: string, asked: ShellOptions = {}): Promise<{ code: number | null; output: string }> {
    const options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=20"];
    const where = ["-i", join(this.#folder, "key"), "-p", String(this.#port), "root@127.0.0.1"];
    const ssh = start("ssh", [...options.flatMap((option) => ["-o", option]), ...where, commandLine], {
      stdio: [asked.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    });
    let output = "";
    const take = (text: string) => {
      output += text;
      asked.onOutput?.(text);
    };
    ssh.stdout?.setEncoding("utf8").on("data", take);
    ssh.stderr?.setEncoding("utf8").on("data", take);
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
      if (this.#qemu === undefined) throw new Error("QEMU has ended");
      const { output } = await this.shell("systemctl is-system-running --wait", { timeoutMs: 90_000 });
      if (/^(running|degraded)/m.test(output)) return;
      if (performance.now() > until)
        throw new Error(`the machine did not come up: see ${this.#folder}/console.log: ${output}`);
      await pause(2_000);
    }
  }

  async reboot(): Promise<number> {
    const since = performance.now();
    await this.shell("systemctl reboot", { timeoutMs: 10_000 });
    const late = setTimeout(() => this.#qemu?.kill("SIGKILL"), REBOOT_MS_MAX); // then it is a power cut
    await this.#off;
    clearTimeout(late);
    this.#powerOn();
    await this.waitUntilUp();
    return (performance.now() - since) / 1000;
  }

  async powerCut(): Promise<void> {
    await this[Symbol.asyncDispose]();
    this.#powerOn();
    await this.waitUntilUp();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#qemu?.kill("SIGKILL");
    await this.#off;
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
