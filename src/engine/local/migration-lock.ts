import { existsSync } from "node:fs";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/logger.ts";
import { monotonicMs } from "../../lib/monotonic.ts";

const ROOT = "/sys/fs/cgroup";
/** The kernel forgets after 15 to 30 ms that somebody came. */
const AGAIN_MS = 5;

const COLD = "cgroup.lock_cold";
const COSTS = "A dyno's start waits some milliseconds for the kernel's lock of control groups.";

/** The move of a process to where it is. */
export interface Move {
  again(): Promise<unknown>;
  close(): Promise<void>;
}

/**
 * A process enters a control group under a lock of the whole kernel that costs its many readers (each fork) nothing while nobody
 * writes: the first writer after a rest waits until all processors were seen at peace, 4 to 7 ms on the machine where it was
 * measured, more on larger ones, and those that follow do not wait. Each start of a container is such a first writer. So as soon as
 * a dyno is to be made, this process is moved to the group that it is in: the wait passes while conmon and the runtime come up.
 */
export class MigrationLock implements AsyncDisposable {
  readonly #move: Move | undefined;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #stop = new AbortController();
  #holders = 0;
  #warmUntil = Number.NEGATIVE_INFINITY;
  #warming: Promise<void> | undefined;
  #works = true;

  static async open(clock: Clock, logger: Logger): Promise<MigrationLock> {
    try {
      return new MigrationLock(moveInto(await open(await ownGroup(), "r+")), clock, logger);
    } catch (error) {
      logger.warn(COLD, { message: COSTS, error });
      return new MigrationLock(undefined, clock, logger);
    }
  }

  constructor(move: Move | undefined, clock: Clock, logger: Logger) {
    this.#move = move;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Until it is disposed of, who moves a process into a control group does not wait. */
  warm(): Disposable {
    this.#holders++;
    this.#warming ??= this.#warm();
    return { [Symbol.dispose]: () => void this.#holders-- };
  }

  /** The same, for so long. */
  warmFor(ms: number): void {
    this.#warmUntil = Math.max(this.#warmUntil, monotonicMs() + ms);
    this.#warming ??= this.#warm();
  }

  get #isWanted(): boolean {
    return this.#holders > 0 || monotonicMs() < this.#warmUntil;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#warming;
    await this.#move?.close();
  }

  async #warm(): Promise<void> {
    const { signal } = this.#stop;
    while (this.#move !== undefined && this.#works && this.#isWanted && !signal.aborted) {
      try {
        await this.#move.again();
      } catch (error) {
        this.#works = false;
        this.#logger.warn(COLD, { message: COSTS, error });
      }
      await this.#clock.sleep(AGAIN_MS, signal).catch(() => {}); // aborted: the loop sees it
    }
    this.#warming = undefined; // at once: who comes now begins anew
  }
}

/** The file that this process's own group takes processes by; any hierarchy will do, the lock is one for all. */
async function ownGroup(): Promise<string> {
  const text = await readFile("/proc/self/cgroup", "utf8");
  const file = text
    .split("\n")
    .filter(Boolean)
    .map(fileOf)
    .find((each) => existsSync(each));
  if (file === undefined) throw new Error(`this process's control group is not below ${ROOT}`);
  return file;
}

/** `4:cpu,cpuacct:/a`, `1:name=systemd:/a`, and `0::/a` for version 2. */
function fileOf(line: string): string {
  const [, controllers = "", ...path] = line.split(":");
  return join(ROOT, controllers.replace(/^name=/, ""), path.join(":"), "cgroup.procs");
}

function moveInto(file: FileHandle): Move {
  const own = String(process.pid);
  return { again: () => file.write(own), close: () => file.close() };
}
