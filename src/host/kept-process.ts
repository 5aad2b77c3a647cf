import { readdirSync, readFileSync } from "node:fs";
import { readFile, unlink } from "node:fs/promises";
import { writeFileAtomic } from "../lib/atomic-file.ts";
import type { Clock } from "../lib/clock.ts";
import type { ChildProcess } from "../lib/command.ts";
import type { Logger } from "../lib/logger.ts";
import { Nudge } from "../lib/nudge.ts";

export interface KeptProcessOptions {
  readonly name: string;
  readonly pidFile: string;
  /** Words that its command line has and no other process's. */
  readonly mark: readonly string[];
  /** Starts it detached, so that it outlives us. May throw; then it is tried again. */
  readonly start: () => Promise<ChildProcess>;
  /** Called when it was found alive, or has been started. */
  readonly onUp?: (how: "adopted" | "started") => Promise<void>;
  /** False: nobody waits for it, and one that was adopted is not looked at more often than others. */
  readonly isUrgent?: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How often it is seen whether it lives: one that we started tells of its end. */
const LOOK_MS = { adopted: 250, started: 1_000 };
/** Lived shorter: the next start waits longer. */
const SHORT_LIFE_MS = 2_000;
const WAIT_MS_MAX = 5_000;

/**
 * One program that should always run, and that outlives us: found again by its pid file and its command line, started again
 * when it is gone. Disposing of this ends the watch, not the program.
 */
export class KeptProcess implements AsyncDisposable {
  readonly #options: KeptProcessOptions;
  readonly #closed = new AbortController();
  readonly #exited = new Nudge();
  readonly #loop: Promise<void>;
  #identity: Identity | undefined;

  constructor(options: KeptProcessOptions) {
    this.#options = options;
    this.#loop = this.#keep();
  }

  /** Its pid, while it lives. */
  get pid(): number | undefined {
    return this.#identity !== undefined && isAlive(this.#identity) ? this.#identity.pid : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    await this.#loop;
  }

  async #keep(): Promise<void> {
    const { name, clock, logger } = this.#options;
    const closed = this.#closed.signal;
    let shortLives = 0;
    while (!closed.aborted) {
      const since = clock.now();
      try {
        await this.#untilGone(this.#lookMs(await this.#bringUp()));
        if (!closed.aborted) logger.warn("process.gone", { name, pid: this.#identity?.pid });
      } catch (error) {
        logger.error("process.not_started", { name, error });
      }
      this.#identity = undefined;
      shortLives = clock.now() - since < SHORT_LIFE_MS ? shortLives + 1 : 0;
      if (shortLives > 1) await clock.sleep(Math.min(WAIT_MS_MAX, 50 * 2 ** shortLives), closed).catch(() => {}); // closed
    }
  }

  #lookMs(how: "adopted" | "started"): number {
    return this.#options.isUrgent === false ? LOOK_MS.started : LOOK_MS[how];
  }

  async #bringUp(): Promise<"adopted" | "started"> {
    const { name, pidFile, mark, start, onUp, logger } = this.#options;
    this.#identity = await remembered(pidFile, mark);
    const how = this.#identity === undefined ? "started" : "adopted";
    if (this.#identity === undefined) {
      const child = await start();
      child.once("exit", () => this.#exited.ring());
      this.#identity = await identified(child);
      await writeFileAtomic(pidFile, `${this.#identity.pid} ${this.#identity.startedAt}\n`, { mode: 0o644 });
    }
    logger.info(`process.${how}`, { name, pid: this.#identity.pid });
    await onUp?.(how);
    return how;
  }

  async #untilGone(lookMs: number): Promise<void> {
    const { clock } = this.#options;
    while (!this.#closed.signal.aborted && this.#identity !== undefined && isAlive(this.#identity))
      await this.#exited.wait(lookMs, this.#closed.signal, clock);
  }
}

/** A pid with the time of its start, in the kernel's ticks since boot: no later process is the same. */
export interface Identity {
  readonly pid: number;
  readonly startedAt: string;
}

/** The process that a pid file names, if it is alive and its command line has the words. */
export async function remembered(pidFile: string, mark: readonly string[]): Promise<Identity | undefined> {
  const text = await readFile(pidFile, "utf8").catch(() => ""); // none yet
  const [, pid = "0", startedAt = ""] = /^(\d+) (\d+)\n$/.exec(text) ?? [];
  const identity = { pid: Number(pid), startedAt };
  const words = commandLine(identity.pid);
  if (isAlive(identity) && mark.every((word) => words.includes(word))) return identity;
  await unlink(pidFile).catch(() => {}); // none yet
  return undefined;
}

/** Kills every process whose command line has the words: what a dead master left behind. */
export function killMarked(mark: readonly string[]): void {
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const words = commandLine(pid);
    if (!mark.every((word) => words.includes(word))) continue;
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // it went by itself
    }
  }
}

export function isAlive({ pid, startedAt }: Identity): boolean {
  return startTime(pid) === startedAt;
}

/** undefined for a process that is gone. */
export function identityOf(pid: number): Identity | undefined {
  const startedAt = startTime(pid);
  return startedAt === undefined ? undefined : { pid, startedAt };
}

async function identified(child: ChildProcess): Promise<Identity> {
  if (child.pid === undefined) {
    const error = await new Promise<unknown>((resolve) => child.once("error", resolve));
    throw new Error("could not be started", { cause: error });
  }
  const identity = identityOf(child.pid);
  if (identity === undefined) throw new Error(`ended at once, status ${child.exitCode}`);
  return identity;
}

/** Undefined for one that is gone, or dead and not yet reaped. */
function startTime(pid: number): string | undefined {
  if (pid <= 0) return undefined;
  const stat = readQuietly(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
}

function commandLine(pid: number): readonly string[] {
  return pid <= 0 ? [] : readQuietly(`/proc/${pid}/cmdline`).split("\0");
}

function readQuietly(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // it is gone
  }
}
