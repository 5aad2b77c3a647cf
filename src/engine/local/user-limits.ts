import { join } from "node:path";
import { createInterface } from "node:readline";
import { type ChildProcess, start } from "../../lib/command.ts";
import type { Logger } from "../../lib/logger.ts";

/**
 * Limits that the kernel counts for a user and everything made by that user: all dynos' namespaces are made by root, and without
 * limits of their own one dyno could take all inotify instances of the machine (architecture, decision 14). Each dyno's user
 * namespace gets these; those of the machine are raised (`host-sysctls.ts`), so that only a dyno's own ones are met.
 */
export const NAMESPACE_LIMITS = {
  max_inotify_instances: 128,
  max_inotify_watches: 65_536,
} as const;

const SYSTEM_CALLS: Readonly<Record<string, { readonly setns: number; readonly unshare: number }>> = {
  x64: { setns: 308, unshare: 272 },
  arm64: { setns: 268, unshare: 97 },
};
const ANSWER_MS_MAX = 5000;

export interface UserLimits extends AsyncDisposable {
  /** Whether limits hold on this host. */
  readonly works: boolean;
  /** Lowers the limits of the user namespace that the process is in, if it is not ours. Done in 0.4 ms. */
  apply(pid: number): Promise<void>;
}

/** Starts the helper and tries it on a namespace of its own; where that fails, says so once and limits nothing. */
export async function openUserLimits(programFolder: string, logger: Logger): Promise<UserLimits> {
  const helper = new Helper(programFolder);
  try {
    await helper.ask("trial");
    return helper;
  } catch (error) {
    await helper[Symbol.asyncDispose]();
    const message = "inotify instances are not divided between dynos: limits of user namespaces cannot be set here.";
    logger.warn("user_limits.unlimited", { message, error });
    return { works: false, apply: async () => {}, [Symbol.asyncDispose]: async () => {} };
  }
}

/** A small program that lives as long as we do: a new one for each dyno would cost a start 5 ms. */
class Helper implements UserLimits {
  readonly works = true;
  readonly #script: string;
  #child: ChildProcess | undefined;
  readonly #waiting = new Map<string, (answer: string) => void>();

  constructor(programFolder: string) {
    this.#script = join(programFolder, "src/engine/local/user-limits.pl");
  }

  async apply(pid: number): Promise<void> {
    if (!Number.isSafeInteger(pid) || pid <= 1) throw new Error(`${pid} is not a process`);
    await this.ask(String(pid));
  }

  async ask(line: string): Promise<void> {
    const answer = await new Promise<string>((resolve) => {
      const late = () => this.#answer(line, "no answer in time");
      AbortSignal.timeout(ANSWER_MS_MAX).addEventListener("abort", late, { once: true });
      this.#waiting.set(line, resolve);
      this.#running().stdin?.write(`${line}\n`);
    });
    if (answer !== "ok") throw new Error(`limits of the user namespace of ${line}: ${answer}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child?.stdin?.end();
    this.#child = undefined;
  }

  #answer(line: string, text: string): void {
    const resolve = this.#waiting.get(line);
    this.#waiting.delete(line);
    resolve?.(text);
  }

  #running(): ChildProcess {
    return (this.#child ??= this.#begin());
  }

  #begin(): ChildProcess {
    const calls = SYSTEM_CALLS[process.arch];
    const child = start("perl", [this.#script], {
      env: {
        STATOR_SETNS: String(calls?.setns ?? -1),
        STATOR_UNSHARE: String(calls?.unshare ?? -1),
        STATOR_LIMITS: Object.entries(NAMESPACE_LIMITS)
          .map(([name, value]) => `${name}=${value}`)
          .join(" "),
      },
      stdio: ["pipe", "pipe", "ignore"],
    });
    const gone = () => {
      if (this.#child === child) this.#child = undefined; // the next one asks a new one
      for (const line of this.#waiting.keys()) this.#answer(line, "the helper ended");
    };
    child.once("error", gone);
    child.once("exit", gone);
    child.stdin?.on("error", () => {}); // its end is seen above
    if (child.stdout) {
      createInterface({ input: child.stdout }).on("line", (text) => {
        const [line = "", ...rest] = text.split(" ");
        this.#answer(line, rest.join(" ").trim());
      });
    }
    return child;
  }
}
