import { readFile, stat, writeFile } from "node:fs/promises";
import type { Clock } from "../../lib/clock.ts";
import { run } from "../../lib/command.ts";
import type { Logger } from "../../lib/logger.ts";
import type { Isolation } from "../../model/isolation.ts";
import { gvisorRefusal, parseRunscVersion, type RunscVersion } from "./gvisor.ts";

const PROGRAM = "/usr/bin/runsc";
/** A machine that was too busy for a dyno in time is not without gVisor for ever. */
const AGAIN_AFTER_MS = 60_000;

export interface IsolationsOptions {
  /** Makes a whole dyno of class `gvisor` and throws unless it could. */
  readonly tryGvisor: () => Promise<void>;
  /** A file on tmpfs: which program served. */
  readonly remembered: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** For tests. */
  readonly program?: string;
  readonly architecture?: string;
}

interface Known {
  readonly program: string;
  readonly refusal: Promise<string | null>;
  /** When its trial failed; null: it has not. */
  failedAt: number | null;
}

/**
 * Which isolation classes this machine can give. A class is tried with a whole dyno when it is first asked for, and again once
 * its program is another one; what went well is remembered until the machine restarts.
 */
export class Isolations {
  readonly #options: IsolationsOptions;
  readonly #program: string;
  #known: Known | undefined;

  constructor(options: IsolationsOptions) {
    this.#options = options;
    this.#program = options.program ?? PROGRAM;
  }

  /** Why no dyno of the class can be started, in words; null: they can. */
  async refusal(isolation: Isolation): Promise<string | null> {
    if (isolation === "container") return null; // without it the engine would not have opened
    const program = await fingerprint(this.#program);
    if (this.#known?.program !== program || this.#isStale(this.#known.failedAt)) {
      const known: Known = {
        program,
        refusal: this.#judge(program, () => (known.failedAt = this.#options.clock.now())),
        failedAt: null,
      };
      this.#known = known;
    }
    return this.#known.refusal;
  }

  #isStale(failedAt: number | null): boolean {
    return failedAt !== null && this.#options.clock.now() - failedAt >= AGAIN_AFTER_MS;
  }

  async #judge(program: string, failed: () => void): Promise<string | null> {
    const version = program === "" ? undefined : await versionOf(this.#program);
    const facts = { architecture: this.#options.architecture ?? process.arch, version };
    const untried = gvisorRefusal({ ...facts, trialError: null });
    const served = await readFile(this.#options.remembered, "utf8").catch(() => ""); // none did
    if (untried !== null || served === program) return untried;
    const trialError = await this.#try(program);
    if (trialError !== "") failed();
    return gvisorRefusal({ ...facts, trialError });
  }

  async #try(program: string): Promise<string> {
    try {
      await this.#options.tryGvisor();
      await writeFile(this.#options.remembered, program);
      return "";
    } catch (error) {
      this.#options.logger.warn("engine.runtime_failed", { runtime: "runsc", error });
      return error instanceof Error ? error.message : String(error);
    }
  }
}

/** undefined: not installed. */
export async function runscVersion(): Promise<RunscVersion | undefined> {
  return (await fingerprint(PROGRAM)) === "" ? undefined : versionOf(PROGRAM);
}

async function versionOf(program: string): Promise<RunscVersion> {
  const told = await run(program, ["--version"]).catch(() => ({ stdout: "" })); // it is there and does not run
  return parseRunscVersion(told.stdout);
}

/** Tells one version of the program from the next; "": there is none. */
async function fingerprint(program: string): Promise<string> {
  const facts = await stat(program).catch(() => undefined);
  return facts === undefined ? "" : `${facts.ino} ${facts.size} ${facts.mtimeMs}`;
}
