import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type ChildProcess, ended, start } from "../../src/lib/command.ts";
import { freePort } from "../support/free-port.ts";
import { forwardOneByOne } from "./one-by-one.ts";
import { processorSecondsOf } from "./processor-time.ts";

/** A Debian machine with systemd and cgroup v2, emulated by QEMU without KVM; reached by ssh on a forwarded port. */
export interface Machine extends AsyncDisposable {
  /** Ports of this host that lead to the machine's router, and by ssh, as for a person elsewhere, to its API. */
  readonly ports: Readonly<Record<"api" | "http", number>>;
  /** A program and its arguments that run the command line which comes behind them in the machine's own shell. */
  readonly ssh: readonly string[];
  /** Of this host, that the emulation which runs now has used. */
  processorSeconds(): number;
  /** Runs a command line in the machine's own shell (it is the user's side, not the host). */
  shell(
    commandLine: string,
    options?: ShellOptions,
  ): Promise<{ readonly code: number | null; readonly output: string }>;
  /** Until it has booted and takes commands. */
  waitUntilUp(): Promise<void>;
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

/** Begins to boot the image of `folder`. */
export async function powerOn(folder: string): Promise<Machine> {
  const [ssh, router, api, http] = [await freePort(), await freePort(), await freePort(), await freePort()];
  await forwardOneByOne(http, router);
  return new EmulatedMachine(folder, { ssh, router }, { api, http });
}

/**
 * What QEMU emulates slowly is taken from its best processor. Protection keys, which V8 turns at each piece of code that it writes: QEMU empties
 * its table of pages each time (Node started in half the time without). "Fast" string instructions, which it emulates byte by byte: memory is
 * copied twice as fast without. And so that copies then do not use AVX, which is young in QEMU 7.2, that too: with it and the keys Node
 * died in two of two starts (a check of V8's, `it->second.Size() > offset`); it is no slower without.
 */
const CPU = "max,-pku,-erms,-fsrm,-avx,-avx2";
// The emulated processors' time stamp counters are one, which the kernel does not believe: it would read HPET, with a
// leave of the emulation for each look at the clock; and on a busy host it would take the timer for broken. Five levels of page tables are a fifth slower to walk, and there are no attacks
// on an emulated processor.
const KERNEL_OPTIONS = "tsc=reliable no5lvl mitigations=off no_timer_check";

/** Ports of this host that QEMU forwards. */
type Forwarded = Readonly<Record<"ssh" | "router", number>>;

function qemuArguments(folder: string, { ssh, router }: Forwarded): readonly string[] {
  const options: Readonly<Record<string, string>> = {
    accel: "tcg,thread=multi",
    cpu: CPU,
    smp: "2",
    m: "2560", // a host process keeps namespaces and disks ready by it
    kernel: join(folder, "vmlinuz"),
    initrd: join(folder, "initrd"),
    append: `root=/dev/vda rw console=ttyS0 quiet ${KERNEL_OPTIONS}`,
    drive: `file=${join(folder, "disk.img")},format=raw,if=virtio,cache=unsafe`,
    netdev: `user,id=n0,hostfwd=tcp:127.0.0.1:${ssh}-:22,hostfwd=tcp:127.0.0.1:${router}-:80`,
    device: "virtio-net-pci,netdev=n0",
    serial: `file:${join(folder, "console.log")}`,
    monitor: "none",
    display: "none",
  };
  // Without KVM a reset of the machine hangs: QEMU ends instead, and is started again.
  return ["-no-reboot", ...Object.entries(options).flatMap(([name, value]) => [`-${name}`, value])];
}

const UP_MS_MAX = 240_000;
const REBOOT_MS_MAX = 180_000;

class EmulatedMachine implements Machine {
  readonly ports: Machine["ports"];
  readonly #folder: string;
  readonly #forwarded: Forwarded;
  #qemu: ChildProcess | undefined;
  #off: Promise<unknown> = Promise.resolve();

  constructor(folder: string, forwarded: Forwarded, ports: Machine["ports"]) {
    this.#folder = folder;
    this.#forwarded = forwarded;
    this.ports = ports;
    this.#powerOn();
    process.once("exit", () => this.#qemu?.kill("SIGKILL"));
  }

  #powerOn(): void {
    rmSync(this.#socket, { force: true });
    const qemu = start("qemu-system-x86_64", qemuArguments(this.#folder, this.#forwarded), {
      stdio: ["ignore", "ignore", "inherit"],
    });
    this.#qemu = qemu;
    this.#off = ended(qemu, "qemu").finally(() => {
      if (this.#qemu === qemu) this.#qemu = undefined;
    });
  }

  processorSeconds(): number {
    return this.#qemu?.pid === undefined ? 0 : processorSecondsOf(this.#qemu.pid);
  }

  /** Of the one connection that all command lines go over: making one takes an emulated machine a second. */
  get #socket(): string {
    return join(this.#folder, "ssh.socket");
  }

  get ssh(): readonly string[] {
    const options = [
      "StrictHostKeyChecking=no",
      "UserKnownHostsFile=/dev/null",
      "LogLevel=ERROR",
      "ConnectTimeout=20",
      `ControlPath=${this.#socket}`,
    ];
    const where = ["-i", join(this.#folder, "key"), "-p", String(this.#forwarded.ssh), "root@127.0.0.1"];
    return ["ssh", ...options.flatMap((option) => ["-o", option]), ...where];
  }

  async shell(commandLine: string, asked: ShellOptions = {}): Promise<{ code: number | null; output: string }> {
    const [program = "", ...args] = this.ssh;
    const ssh = start(program, [...args, commandLine], {
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
    const until = performance.now() + UP_MS_MAX;
    let last = "";
    while (performance.now() < until) {
      if (this.#qemu === undefined) throw new Error("QEMU has ended");
      ({ output: last } = await this.shell("systemctl is-system-running --wait", { timeoutMs: 90_000 }));
      if (/^(running|degraded)/m.test(last)) return this.#connect();
      await pause(500);
    }
    throw new Error(`the machine did not come up: see ${this.#folder}/console.log: ${last}`);
  }

  /** Opens the one connection, and with it the API's port. It ends with the machine. */
  async #connect(): Promise<void> {
    const [program = "", ...args] = this.ssh;
    const forward = ["-L", `127.0.0.1:${this.ports.api}:127.0.0.1:5480`];
    const ssh = start(program, ["-M", "-N", "-o", "ExitOnForwardFailure=yes", ...forward, ...args], {
      stdio: ["ignore", "inherit", "inherit"],
    });
    let isOpen = true;
    void ended(ssh, "ssh").finally(() => (isOpen = false));
    const until = performance.now() + UP_MS_MAX;
    while (!existsSync(this.#socket)) {
      if (!isOpen || performance.now() > until) throw new Error("no connection by ssh can be had");
      await pause(50);
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
