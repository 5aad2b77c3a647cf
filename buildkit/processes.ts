import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";

/** Programs of this build, each leading a group of its own, so that ending the build ends all of them. */
const running = new Set<ChildProcess>();

export function startProgram(program: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  const child = spawn(program, [...args], { ...options, detached: true });
  running.add(child);
  child.once("close", () => running.delete(child));
  return child;
}

/** Exit status (128 + signal when killed); rejects if the program could not be started. */
export function statusOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve(code ?? 128 + (SIGNALS[signal ?? ""] ?? 0)));
  });
}

const SIGNALS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGTERM: 15,
};

export function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // it has ended
  }
}

export function killAll(): void {
  for (const child of running) killGroup(child);
}

/** All of a program's standard output. Throws unless it ends with 0 and says at most `bytesMax`. */
export async function outputOf(
  program: string,
  args: readonly string[],
  options: SpawnOptions & { readonly bytesMax?: number },
): Promise<Buffer> {
  const child = startProgram(program, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
  const ended = statusOf(child);
  const chunks: Buffer[] = [];
  const complaints: Buffer[] = [];
  let size = 0;
  child.stdout?.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size > (options.bytesMax ?? 16 * 1024 * 1024)) killGroup(child);
    else chunks.push(chunk);
  });
  child.stderr?.on("data", (chunk: Buffer) => complaints.length < 100 && complaints.push(chunk));
  const status = await ended;
  if (status !== 0) throw new ProgramFailed(program, args, status, Buffer.concat(complaints).toString("utf8"));
  return Buffer.concat(chunks);
}

export class ProgramFailed extends Error {
  readonly status: number;
  readonly stderr: string;
  constructor(program: string, args: readonly string[], status: number, stderr: string) {
    super(`${program} ${args[0] ?? ""}: status ${status}: ${stderr.trim().slice(-2000)}`);
    this.name = "ProgramFailed";
    this.status = status;
    this.stderr = stderr;
  }
}
