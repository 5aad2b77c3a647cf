import { once } from "node:events";
import type { Clock } from "../../lib/clock.ts";
import { type ChildProcess, CommandError, ended, run, start } from "../../lib/command.ts";
import { DYNO_UID } from "../../model/boot.ts";
import type { DynoSignal } from "../engine.ts";
import type { ProcessRef } from "./dyno-folder.ts";
import type { DynoNetwork } from "./network.ts";
import { type CreateOptions, type DynoRuntime, type ExecFiles, Runtime, type RuntimeOptions } from "./runtime.ts";

/**
 * gVisor: every dyno on an application kernel of its own (`runsc`'s sentry), which has its own network stack, processes and
 * files, and speaks to the machine's kernel in a few filtered system calls. What differs from a plain runtime is its start.
 */
export class GvisorRuntime implements DynoRuntime {
  readonly name = "runsc";
  readonly #inner: Runtime;

  constructor(options: Omit<RuntimeOptions, "name" | "flags">) {
    this.#inner = new Runtime({ ...options, name: "runsc", flags: GVISOR_FLAGS });
  }

  prepare(): Promise<void> {
    return this.#inner.prepare();
  }

  create(options: CreateOptions): Promise<ProcessRef> {
    return this.#inner.create(options);
  }

  /**
   * runsc refuses to take over a network in what it believes to be the machine's own namespace, and tells that by
   * `/proc/sys/net/core/rmem_default`, which newer kernels show in every namespace (facts 8). So it looks from a mount namespace
   * where the dyno's own `/proc/sys/net/core` is empty; the namespace ends with the process that holds it, also when we are killed.
   */
  async start(id: string, network: DynoNetwork): Promise<void> {
    const holder = await this.#holdMounts();
    try {
      const inside = `--mount=/proc/${holder.pid}/ns/mnt`;
      const hide = ["mount", "-t", "tmpfs", "-o", "ro,size=4k", "none", "/proc/sys/net/core"];
      await run("nsenter", [inside, `--net=${network.netnsPath}`, ...hide]);
      await run("nsenter", [inside, ...this.#inner.command(["start", id])]);
    } finally {
      const end = ended(holder, "cat");
      holder.stdin?.end();
      await end;
    }
  }

  execCommand(files: ExecFiles): [program: string, args: readonly string[]] {
    return this.#inner.execCommand(files);
  }

  /**
   * `runsc kill --all` signals the dyno's init too, which hands it on: the command would see it twice. So the signal is sent from
   * inside, where it reaches all but init and the sender.
   */
  async signal(id: string, signal: DynoSignal, clock: Clock): Promise<void> {
    if (signal !== "KILL" && (await this.#signalInside(id, signal, clock))) return;
    await this.#inner.signal(id, signal, clock);
  }

  /**
   * False: nothing was sent, since the dyno has ended, may not have one more process, or has no command yet; or the sender was not
   * heard of, and sends nothing any more: whatever else is sent now is the last.
   */
  async #signalInside(id: string, signal: DynoSignal, clock: Clock): Promise<boolean> {
    const deadline = Math.ceil((clock.now() + SENDER_MS) / 1000);
    const leftMs = () => Math.max(0, deadline * 1000 - clock.now());
    const options = ["--user", `${DYNO_UID}:${DYNO_UID}`, "--cwd", "/"];
    try {
      const timeoutMs = leftMs() + TELL_MS;
      await this.#inner.run(["exec", ...options, id, ...senderOf(signal, deadline)], { timeoutMs });
      return true;
    } catch (error) {
      const hasEnded = error instanceof CommandError && error.status !== null;
      if (!hasEnded) await clock.sleep(leftMs(), new AbortController().signal); // killed is `runsc exec`, not the sender
      return false;
    }
  }

  delete(id: string): Promise<void> {
    return this.#inner.delete(id);
  }

  state(id: string): Promise<"created" | "running" | "stopped" | "none"> {
    return this.#inner.state(id);
  }

  /** A process in a mount namespace of its own, once it is in there; it ends when its standard input does. */
  async #holdMounts(): Promise<ChildProcess> {
    const holder = start(...this.#inner.inside("unshare", ["--mount", "--propagation", "private", "--", "cat"]), {
      stdio: ["pipe", "pipe", "ignore"],
    });
    holder.stdin?.on("error", () => {}); // it could not be started: the next line says so
    holder.stdin?.write("\n");
    await Promise.race([
      once(holder.stdout ?? holder, "data"),
      ended(holder, "unshare").then(() => {
        throw new Error("no mount namespace could be made for the start of the dyno");
      }),
    ]);
    return holder;
  }
}

/** How long the sender of a signal may take, in a dyno that may be busy to its limits. */
const SENDER_MS = 5000;
/** And to be heard of, if it sent in the last instant. */
const TELL_MS = 1000;

/**
 * Sends the signal to all that its user has inside, unless it comes to that only at the deadline (seconds since the epoch) or later.
 * The stack's own programs, which are read-only; `kill` takes -1 for a signal, and -T no notice of the dyno's environment.
 */
export const senderOf = (signal: string, deadline: number): readonly string[] => [
  "/usr/bin/perl",
  "-T",
  "-e",
  `exit 1 if time >= $ARGV[0]; exit !kill "${signal}", -1`,
  String(deadline),
];

/**
 * `systrap` needs neither KVM nor the slow ptrace of older versions. The root is read-only as it is, so no overlay in the
 * sandbox's memory is wanted; nothing but the dyno writes to its files, but what a full disk says must reach it at once, so they
 * are not cached for writing (`shared`).
 */
const GVISOR_FLAGS: readonly string[] = [
  "--platform=systrap",
  "--network=sandbox",
  "--overlay2=none",
  "--file-access-mounts=shared",
  "--net-raw=false",
];

/** For a container without network and limits. */
export const TRIAL_FLAGS: readonly string[] = [
  "--platform=systrap",
  "--network=none",
  "--overlay2=none",
  "--ignore-cgroups",
];

/** The first version of `runsc` that serves: those before fail the `statx` calls of Debian's own `ls`. */
const OLDEST_VERSION = 20_230_601;

export type RunscVersion = number | null;

export const isNewEnough = (version: RunscVersion): boolean => version !== null && version >= OLDEST_VERSION;

/** The date in what `runsc --version` says; null for what has none. */
export function parseRunscVersion(text: string): RunscVersion {
  const date = /^runsc version \D*(?:0\.0[~-])?(\d{8})/m.exec(text)?.[1];
  return date === undefined ? null : Number(date);
}

export interface GvisorFacts {
  /** As Node calls it. */
  readonly architecture: string;
  /** undefined: not installed. */
  readonly version: RunscVersion | undefined;
  /** What a trial failed with; "": it went well; null: none was made. */
  readonly trialError: string | null;
}

/** How it is brought: named in every refusal that this would mend. */
const INSTALL = "sudo stator isolation:install";

/** Why dynos of class `gvisor` cannot be had, and what to do, in words; null: they can. Pure. */
export function gvisorRefusal({ architecture, version, trialError }: GvisorFacts): string | null {
  if (architecture !== "x64")
    return `gVisor (runsc) is packaged by Debian for amd64 only, and this machine is ${architecture}. Apps stay containers here.`;
  if (version === undefined)
    return `gVisor is not installed. On the platform's machine type: ${INSTALL} (apt-get install runsc, in a version that serves).`;
  if (!isNewEnough(version))
    return `The runsc of this machine (${version ?? "unknown version"}) is too old: in it even ls fails. On the platform's machine type: ${INSTALL}.`;
  if (trialError === null || trialError === "") return null;
  return `runsc is installed, but no dyno starts with it: ${trialError}`;
}
