import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { basename, isAbsolute } from "node:path";
import type { Readable, Writable } from "node:stream";

/**
 * The only place that starts programs on the host: an argument list, never a shell string, an empty environment but for
 * what is named, and no shell by any name (`docs/decisions/0010-no-shell-on-the-host.md`). Shells run inside dynos only.
 */
export interface CommandOptions {
  /** The whole environment of the program; `PATH` is added. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Text for standard input, or a file descriptor to use as it is. */
  readonly input?: string | Uint8Array | number;
  /** Killed with SIGKILL after this long (default 30 s). */
  readonly timeoutMs?: number;
  /** Standard output beyond this is an error (default 16 MiB). */
  readonly outputBytesMax?: number;
  readonly signal?: AbortSignal;
}

export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
}

/** A program that ended with a status other than 0, was killed, or could not be started. */
export class CommandError extends Error {
  readonly program: string;
  readonly status: number | null;
  readonly stderr: string;
  constructor(program: string, what: string, status: number | null, stderr: string) {
    super(`${program}: ${what}${stderr === "" ? "" : `: ${stderr.trim().slice(0, 2000)}`}`);
    this.name = "CommandError";
    this.program = program;
    this.status = status;
    this.stderr = stderr;
  }
}

const KILLED_MS = 5_000;
const SHELLS = new Set(["sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "fish", "csh", "tcsh", "busybox"]);
/** Programs that start the program which their arguments name. */
const WRAPPERS = new Set([
  "env",
  "setpriv",
  "nsenter",
  "unshare",
  "setsid",
  "nohup",
  "systemd-run",
  "sudo",
  "su",
  "chroot",
  "timeout",
  "flock",
  "ip",
  "prlimit",
  "nice",
  "ionice",
  "chrt",
  "taskset",
  "stdbuf",
  "xargs",
  "find",
  "script",
]);
const SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Runs a program to its end. Throws `CommandError` unless it ends with status 0. */
export async function run(
  program: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const child = start(program, args, {
    ...(options.env && { env: options.env }),
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    stdio: [
      typeof options.input === "number" ? options.input : options.input === undefined ? "ignore" : "pipe",
      "pipe",
      "pipe",
    ],
  });
  if (typeof options.input === "string" || options.input instanceof Uint8Array) {
    child.stdin?.on("error", () => {}); // it may leave without reading; its status tells
    child.stdin?.end(options.input);
  }
  const limit = options.outputBytesMax ?? 16 * 1024 * 1024;
  const timeoutMs = options.timeoutMs ?? 30_000;
  const [end, stdout, stderr] = await Promise.all([
    ended(child, program, { timeoutMs, ...(options.signal && { signal: options.signal }) }),
    collect(child.stdout, limit, child),
    collect(child.stderr, limit, child),
  ]);
  options.signal?.throwIfAborted();
  if (end.code !== 0) throw new CommandError(program, howEnded(end, timeoutMs), end.code, stderr);
  return { stdout, stderr };
}

function howEnded({ code, signal, late }: End, timeoutMs: number): string {
  if (late) return `killed, since it took longer than ${timeoutMs / 1000} s`;
  return code === null ? `killed by ${signal}` : `status ${code}`;
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly stdio?: StdioOptions;
  /** In a session of its own, so that it outlives us. */
  readonly detached?: boolean;
}

/** Starts a program and returns at once; the caller watches it. */
export function start(program: string, args: readonly string[], options: StartOptions = {}): ChildProcess {
  refuseShell(program, args);
  return spawn(program, args, {
    shell: false,
    env: { PATH: SEARCH_PATH, ...options.env },
    cwd: options.cwd ?? "/",
    stdio: options.stdio ?? "ignore",
    detached: options.detached ?? false,
  });
}

export interface End {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** It was killed because its time was over. */
  readonly late: boolean;
}

export interface Until {
  /** Killed with SIGKILL after this long. */
  readonly timeoutMs?: number;
  /** Killed with SIGKILL when aborted. */
  readonly signal?: AbortSignal;
}

/**
 * What a program's end was; rejects if it never started. One that was killed and still does not end (the kernel holds it fast,
 * as where a disk hangs, or something that it started holds its output open) is waited for 5 s more; then this rejects.
 */
export async function ended(child: ChildProcess, program: string, { timeoutMs, signal }: Until = {}): Promise<End> {
  const { promise, resolve, reject } = Promise.withResolvers<End>();
  const timers: NodeJS.Timeout[] = [];
  let late = false;
  const giveUp = (): void => {
    reject(new CommandError(program, "it was killed and does not end", null, ""));
    for (const stream of child.stdio) stream?.destroy();
    child.unref();
  };
  const kill = (): void => {
    child.kill("SIGKILL");
    timers.push(setTimeout(giveUp, KILLED_MS));
  };
  const overdue = (): void => {
    late = true;
    kill();
  };
  child.once("error", (error: Error) => reject(new CommandError(program, error.message, null, "")));
  child.once("close", (code, by) => resolve({ code, signal: by, late }));
  if (timeoutMs !== undefined) timers.push(setTimeout(overdue, timeoutMs));
  if (signal?.aborted === true) kill();
  else signal?.addEventListener("abort", kill, { once: true });
  try {
    return await promise;
  } finally {
    for (const timer of timers) clearTimeout(timer);
    signal?.removeEventListener("abort", kill);
  }
}

/** Throws for a shell, a relative path with a slash, or an argument that cannot be one. */
export function refuseShell(program: string, args: readonly string[]): void {
  if (SHELLS.has(basename(program))) throw new Error(`refused: ${program} is a shell; no shell runs on the host`);
  if (WRAPPERS.has(basename(program))) {
    const shell = args.find((arg) => SHELLS.has(basename(arg)));
    if (shell !== undefined) throw new Error(`refused: ${shell} is a shell; no shell runs on the host`);
  }
  if (program.includes("/") && !isAbsolute(program)) throw new Error(`refused: ${program} is a relative path`);
  for (const text of [program, ...args]) {
    if (text.includes("\0")) throw new Error(`refused: an argument of ${program} holds a NUL`);
  }
}

async function collect(stream: Readable | null, limit: number, child: ChildProcess): Promise<string> {
  if (!stream) return "";
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    const bytes = chunk as Buffer; // a child's pipe without an encoding gives Buffers
    size += bytes.length;
    if (size > limit) {
      child.kill("SIGKILL");
      throw new Error(`output of more than ${limit} bytes`);
    }
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString("utf8");
}

export type { ChildProcess, Readable, Writable };
