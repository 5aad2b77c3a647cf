import { closeSync, constants, existsSync, openSync, unlinkSync, writeFileSync, writeSync } from "node:fs";
import { mkdir, open, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { addAbortListener, timeLimit } from "../../lib/abort.ts";
import type { Clock } from "../../lib/clock.ts";
import {
  type ChildProcess,
  CommandError,
  type CommandOptions,
  type CommandResult,
  ended,
  run,
  start,
} from "../../lib/command.ts";
import type { DynoSignal } from "../engine.ts";
import { type Cgroups, cgroupPathOf, killQuietly, processesOf, removeGroup, signalGroup } from "./cgroup.ts";
import { EXITS, type ProcessRef, processRef } from "./dyno-folder.ts";
import { isMounted } from "./loop.ts";
import type { DynoNetwork } from "./network.ts";
import { installed, type RuntimePrograms, stampOf } from "./runtime-programs.ts";

export type RuntimeName = "crun" | "runc";

export interface RuntimeOptions {
  readonly name: RuntimeName | "runsc";
  /** Before every command of it. */
  readonly flags?: readonly string[];
  /** On tmpfs. */
  readonly bundles: string;
  /** A mount namespace to enter first; null: our own. */
  readonly namespace: string | null;
  /** Where containers' processes are found. */
  readonly cgroups?: Cgroups;
  /** Copies of crun and conmon, started in the place of the installed ones. */
  readonly programs?: Pick<RuntimePrograms, "path"> | undefined;
}

export interface BeginOptions {
  readonly id: string;
  /** A folder. */
  readonly bundle: string;
  /** A file that is there. */
  readonly log: string;
  readonly terminal: boolean;
  readonly stdin: boolean;
}

/** A conmon that has made nothing yet. */
export interface Begun {
  readonly pid: number;
  /** The container's first process; rejects with what the runtime said. */
  readonly made: Promise<number>;
  /** Lets it start the runtime. Repeatable. */
  go(): void;
  kill(): void;
}

export interface CreateOptions extends BeginOptions {
  /** conmon comes up meanwhile, and starts the runtime once the bundle's files are there. */
  readonly bundleWritten: Promise<unknown>;
  /** It has come up already. */
  readonly begun?: Begun | undefined;
}

export interface ExecOptions {
  readonly id: string;
  /** Says what runs, as whom and where (OCI's `process`). */
  readonly process: string;
  readonly pidFile: string;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export interface ExecFiles extends Pick<ExecOptions, "id" | "process" | "pidFile"> {
  readonly console: string | null;
  /** Where gVisor writes the process's number inside; absent: nowhere. */
  readonly innerPidFile?: string;
}

export const CREATE_TIMEOUT_MS = 30_000;
const KILLED_STATUS = 137;
/** How long the runtime may take to notice that what it started was killed. */
const KILLED_MS = 2_000;

/** What dynos of one isolation class are made with. */
export interface DynoRuntime {
  readonly name: RuntimeName | "runsc";
  /** Makes the container, whose command waits for `start`. Resolves with its conmon. */
  create(options: CreateOptions): Promise<ProcessRef>;
  /** Lets the command of a made container begin. */
  start(id: string, network: DynoNetwork): Promise<void>;
  /** Sends a signal to every process in the container, to each once. Does nothing if it has ended. */
  signal(id: string, signal: DynoSignal, clock: Clock): Promise<void>;
  /** Forgets a container, which is killed if it lives; repeatable. */
  delete(id: string): Promise<void>;
  state(id: string): Promise<"created" | "running" | "stopped" | "none">;
}

/** The OCI runtime, and conmon, which holds a container's stdio, log and exit status whatever becomes of us. */
export class Runtime implements DynoRuntime {
  readonly name: RuntimeName | "runsc";
  readonly #options: RuntimeOptions;
  readonly #root: string;

  constructor(options: RuntimeOptions) {
    this.name = options.name;
    this.#options = options;
    this.#root = join(options.bundles, `.${options.name}`);
  }

  /** Where the runtime keeps what it knows of containers, a folder each. */
  get root(): string {
    return this.#root;
  }

  /** Tells one version of the program from the next. */
  stamp(): string {
    return stampOf(this.#program);
  }

  get #program(): string {
    const copy = this.name === "crun" ? this.#options.programs?.path("crun") : undefined;
    return copy ?? installed(this.name);
  }

  async prepare(): Promise<void> {
    await mkdir(this.#root, { recursive: true, mode: 0o700 });
    await mkdir(join(this.#options.bundles, EXITS), { recursive: true, mode: 0o700 });
  }

  /** Starts conmon, which waits until `go` is called before it starts the runtime. */
  begin(options: BeginOptions): Begun {
    const flags: Readonly<Record<string, string>> = {
      "api-version": "1",
      cid: options.id,
      cuuid: options.id,
      name: options.id,
      runtime: this.#program, // conmon looks into no PATH
      bundle: options.bundle,
      "container-pidfile": join(options.bundle, "pid"),
      "exit-dir": join(this.#options.bundles, EXITS),
      "socket-dir-path": options.bundle,
      "log-path": `k8s-file:${options.log}`,
      "log-level": "error",
    };
    const args = [
      ...Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]),
      ...this.#flags().flatMap((each) => ["--runtime-arg", each]),
      "--sync", // stays our child, whom we reap: an init may take a second to, and the kernel keeps the dead until then
      "--full-attach", // the socket in the bundle; its path fits
      "--no-sync-log",
      // A terminal's input is opened again after a host process was killed; the end of a pipe's is the end of what comes.
      ...(options.terminal ? ["--terminal", "--leave-stdin-open"] : []),
      ...(options.stdin ? ["--stdin"] : []),
    ];
    const [program, all] = this.inside(this.#options.programs?.path("conmon") ?? installed("conmon"), args);
    const child = start(program, all, {
      env: { _OCI_SYNCPIPE: "3", _OCI_STARTPIPE: "4" },
      stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
      detached: true,
    });
    child.unref(); // it outlives us
    if (child.pid !== undefined) writeFileSync(join(options.bundle, "conmon.pid"), String(child.pid), { mode: 0o600 });
    const made = containerPid(child);
    made.catch(() => {}); // awaited in `create`, unless there is no bundle
    const gate = child.stdio[4] as Writable; // "pipe" above
    gate.on("error", () => {}); // it has ended, and says why on the other one
    return {
      pid: child.pid ?? 0,
      made,
      go: () => void (gate.writableEnded || gate.end("\n")),
      kill: () => void child.kill("SIGKILL"),
    };
  }

  async create(options: CreateOptions): Promise<ProcessRef> {
    const begun = options.begun ?? this.begin(options);
    try {
      await options.bundleWritten;
    } catch (error) {
      begun.kill();
      throw error;
    }
    begun.go();
    using limit = timeLimit(CREATE_TIMEOUT_MS, "the runtime did not answer in time");
    await Promise.race([begun.made, rejected(limit.signal)]);
    const conmon = processRef(begun.pid);
    if (conmon === undefined) throw new Error("conmon ended at once");
    return conmon;
  }

  async start(id: string): Promise<void> {
    if (await this.#openGate(id)) return;
    await this.run(["start", id]);
  }

  async signal(id: string, signal: DynoSignal, clock: Clock): Promise<void> {
    if (this.#options.cgroups !== undefined) return signalGroup(this.#options.cgroups, id, `SIG${signal}`, clock);
    try {
      await this.run(["kill", "--all", id, signal]);
    } catch (error) {
      if ((await this.state(id)) !== "running") return;
      throw error;
    }
  }

  /** runc 1.1 cannot join our network namespaces once it has joined the dyno's user namespace. */
  get canExec(): boolean {
    return this.name === "crun";
  }

  /** The program and arguments that run such a process, and end as it ends. `console`: the socket to which its terminal is sent. */
  execCommand({
    id,
    process: spec,
    pidFile,
    console,
    innerPidFile,
  }: ExecFiles): [program: string, args: readonly string[]] {
    const terminal = console === null ? [] : ["--console-socket", console];
    const inner = innerPidFile === undefined ? [] : ["--internal-pid-file", innerPidFile];
    const files = ["--process", spec, "--pid-file", pidFile, ...terminal, ...inner];
    const [program = "", ...args] = this.command(["exec", ...files, id]);
    return this.inside(program, args);
  }

  /**
   * Runs a process beside those of a running container, its output thrown away, and gives its status; undefined: it took too long,
   * or `signal` was aborted, and it was killed with all of its process group. Throws if the runtime cannot be started.
   */
  async exec(options: ExecOptions): Promise<number | undefined> {
    const { id, process: spec, pidFile, timeoutMs, clock, signal } = options;
    await killExecuted(pidFile); // left by a host process that was killed
    await rm(pidFile, { force: true });
    const command = this.execCommand({ id, process: spec, pidFile, console: null });
    // A group of its own, so that what the runtime started can be killed with it before there is a pid.
    const child = start(...command, { detached: true });
    const stop = new AbortController();
    const done = new AbortController();
    using _stopped = addAbortListener(signal, () => stop.abort());
    using _done = addAbortListener(done.signal, () => stop.abort());
    const limit = async (): Promise<boolean> => {
      await clock.sleep(timeoutMs, stop.signal).catch(() => {}); // stopped, or it has ended
      if (done.signal.aborted) return false;
      await killExecuted(pidFile);
      await clock.sleep(KILLED_MS, done.signal).catch(() => {}); // it has ended
      if (!done.signal.aborted && child.pid !== undefined) killQuietly(-child.pid, "SIGKILL");
      return true;
    };
    const limited = limit();
    try {
      const { code } = await ended(child, this.name);
      done.abort();
      return (await limited) ? undefined : (code ?? KILLED_STATUS);
    } finally {
      done.abort();
      await limited;
      await rm(pidFile, { force: true });
    }
  }

  async delete(id: string): Promise<void> {
    if (!(await this.#knows(id))) return;
    if (await this.#forgetEnded(id)) return;
    await this.run(["delete", "--force", id]);
  }

  /**
   * What `crun delete` does for a container that has ended, without starting a program: its control groups go, then what is
   * known of it. False where something of it lives.
   */
  async #forgetEnded(id: string): Promise<boolean> {
    const { cgroups } = this.#options;
    if (this.name !== "crun" || cgroups === undefined) return false;
    if ((await processesOf(cgroups, id)).size > 0 || !(await removeGroup(cgroups, id))) return false;
    await rm(join(this.#root, id), { recursive: true, force: true });
    return true;
  }

  async state(id: string): Promise<"created" | "running" | "stopped" | "none"> {
    if (!(await this.#knows(id))) return "none";
    try {
      const { stdout } = await this.run(["state", id]);
      const { status } = JSON.parse(stdout) as { readonly status?: unknown };
      return status === "created" || status === "running" || status === "stopped" ? status : "none";
    } catch (error) {
      if (error instanceof CommandError) return "none";
      throw error;
    }
  }

  /**
   * What `crun start` does, without starting a program: the container's first process waits for somebody to write to this
   * file, and the file's absence says that it runs. Only for the versions where this was tried; 8 ms less (facts 1).
   */
  async #openGate(id: string): Promise<boolean> {
    if (this.name !== "crun") return false;
    const gate = join(this.#root, id, "exec.fifo");
    try {
      const file = openSync(gate, constants.O_WRONLY | constants.O_NONBLOCK); // ENXIO: nobody waits there
      try {
        writeSync(file, "0");
      } finally {
        closeSync(file);
      }
    } catch {
      return false; // `crun start` says what is wrong
    }
    unlinkSync(gate);
    return true;
  }

  /** Runs the runtime itself. */
  run(args: readonly string[], options: Pick<CommandOptions, "timeoutMs"> = {}): Promise<CommandResult> {
    const [name = "", ...rest] = this.command(args);
    const [program, all] = this.inside(name, rest);
    return run(program, all, options);
  }

  /** The runtime's own command line. What runs in a dyno meets the runtime at `exec` too: it is the same program as at `create`. */
  command(args: readonly string[]): readonly string[] {
    return [this.#program, ...this.#flags(), ...args];
  }

  #flags(): readonly string[] {
    return ["--root", this.#root, ...(this.#options.flags ?? [])];
  }

  /** crun and runc keep a folder for each container, runsc files whose names begin with its id. */
  async #knows(id: string): Promise<boolean> {
    if (this.name !== "runsc") return existsSync(join(this.#root, id));
    const names = existsSync(this.#root) ? await readdir(this.#root) : [];
    return names.some((name) => name.startsWith(`${id}_`));
  }

  /** A program in the mount namespace that runtimes see. */
  inside(program: string, args: readonly string[]): [program: string, args: readonly string[]] {
    const { namespace } = this.#options;
    return namespace === null ? [program, args] : ["nsenter", [`--mount=${namespace}`, program, ...args]];
  }
}

/**
 * On a hybrid hierarchy crun must not see the version 2 mount. What it runs in is a mount namespace of its own, held by a
 * file, so that the host process stays in the ordinary one where its mounts can be found. It is made anew by each host
 * process, so that it shows the mounts of now. null where it is not needed.
 *
 * crun makes each container's group there all the same, a folder with a file: in a folder of ours, from which
 * `forgetHiddenGroup` takes them. Below the mount they would stay in the kernel's memory until the machine is restarted.
 */
export async function openRuntimeNamespace(
  run_: string,
  cgroups: Cgroups,
  own: readonly string[],
): Promise<string | null> {
  if (cgroups.hybridMount === null) return null;
  const folder = join(run_, "namespace");
  const file = join(folder, "mnt");
  await closeRuntimeNamespace(run_);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await run("mount", ["--bind", folder, folder]);
  await run("mount", ["--make-private", folder]); // else the file could not be bound
  await using _file = await open(file, "a", 0o600);
  await run("unshare", [`--mount=${file}`, "--propagation", "slave", "umount", cgroups.hybridMount]);
  const inside = (...command: readonly string[]) => run("nsenter", [`--mount=${file}`, ...command]);
  await inside("rm", "-rf", "--", join(cgroups.hybridMount, cgroups.path)); // of an older program of ours
  await mkdir(join(folder, HIDDEN), { recursive: true, mode: 0o700 });
  await inside("mount", "--bind", join(folder, HIDDEN), cgroups.hybridMount);
  await dropForeignMounts(file, [run_, ...own]);
  return file;
}

const HIDDEN = "unified";

/** Removes what crun made for a container's group in place of one of version 2. Repeatable. */
export async function forgetHiddenGroup(run_: string, cgroups: Cgroups, id: string): Promise<void> {
  if (cgroups.hybridMount === null) return;
  await rm(join(run_, "namespace", HIDDEN, cgroupPathOf(cgroups, id)), { recursive: true, force: true });
}

/**
 * Where the machine's mounts are private (no systemd), what is mounted now stays mounted in the new namespace for ever: images of
 * other instances could then not be taken away while this one stands.
 */
async function dropForeignMounts(namespace: string, own: readonly string[]): Promise<void> {
  const mounts = (await readFile("/proc/self/mounts", "utf8")).split("\n").map((line) => line.split(" "));
  const foreign = mounts.flatMap(([source = "", at = ""]) => {
    const isImage = source.startsWith("/dev/loop") || at.startsWith("/run/stator-");
    return isImage && !own.some((folder) => at === folder || at.startsWith(`${folder}/`)) ? [at] : [];
  });
  if (foreign.length === 0) return;
  // Deepest first; one that went meanwhile, or was under a lazy one, is no failure.
  const args = [`--mount=${namespace}`, "umount", "--quiet", "--lazy", "--", ...foreign.toReversed()];
  await run("nsenter", args).catch(() => {});
}

export async function closeRuntimeNamespace(run_: string): Promise<void> {
  const folder = join(run_, "namespace");
  for (const at of [join(folder, "mnt"), folder]) while (await isMounted(at)) await run("umount", ["--lazy", at]);
}

/**
 * Kills the process and all of its group, which is one of its own, if the runtime that was to write this file waits for it: its id
 * is not given away then. What has left the group is the dyno's own, as all that its commands leave behind.
 */
export async function killExecuted(pidFile: string): Promise<void> {
  const pid = Number(await readFile(pidFile, "utf8").catch(() => "0")); // it never came so far
  if (!Number.isInteger(pid) || pid <= 1) return;
  const facts = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => ""); // gone
  const [, parent = "", group = ""] = facts.slice(facts.lastIndexOf(")") + 2).split(" "); // its name may hold anything
  const command = await readFile(`/proc/${parent}/cmdline`, "utf8").catch(() => ""); // gone
  if (!command.split("\0").includes(pidFile)) return;
  if (group !== parent && Number(group) > 1) killQuietly(-Number(group), "SIGKILL");
  killQuietly(pid, "SIGKILL");
}

interface SyncMessage {
  readonly data?: unknown;
  readonly message?: unknown;
}

/** conmon reports on descriptor 3 once the runtime has made the container, or has failed to. */
async function containerPid(child: ChildProcess): Promise<number> {
  const end = ended(child, "conmon");
  end.catch(() => {}); // awaited below, where it matters
  const line = await firstLine(child.stdio[3] as Readable); // "pipe" in `create`
  if (line === "") {
    const { code } = await end;
    throw new Error(`conmon ended with status ${code} before the container was made`);
  }
  const { data, message } = JSON.parse(line) as SyncMessage;
  if (typeof data === "number" && data > 0) return data;
  const why = typeof message === "string" ? message : line;
  throw new Error(`the runtime failed: ${why.trim().slice(0, 1000)}`);
}

async function firstLine(stream: Readable): Promise<string> {
  let text = "";
  for await (const chunk of stream) {
    text += String(chunk);
    if (text.includes("\n")) break;
  }
  return text.split("\n")[0] ?? "";
}

function rejected(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
