import { join } from "node:path";
import type { Logger } from "../../lib/logger.ts";
import { LineHelper } from "./line-helper.ts";

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

class Helper implements UserLimits {
  readonly works = true;
  readonly #lines: LineHelper;

  constructor(programFolder: string) {
    const calls = SYSTEM_CALLS[process.arch];
    this.#lines = new LineHelper({
      script: join(programFolder, "src/engine/local/user-limits.pl"),
      env: {
        STATOR_SETNS: String(calls?.setns ?? -1),
        STATOR_UNSHARE: String(calls?.unshare ?? -1),
        STATOR_LIMITS: Object.entries(NAMESPACE_LIMITS)
          .map(([name, value]) => `${name}=${value}`)
          .join(" "),
      },
    });
  }

  async apply(pid: number): Promise<void> {
    if (!Number.isSafeInteger(pid) || pid <= 1) throw new Error(`${pid} is not a process`);
    await this.ask(String(pid));
  }

  async ask(line: string): Promise<void> {
    await this.#lines.ask(line).catch((error: unknown) => {
      throw new Error(`limits of the user namespace of ${line}`, { cause: error });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lines[Symbol.asyncDispose]();
  }
}
