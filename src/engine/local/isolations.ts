import { randomUUID } from "node:crypto";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../lib/command.ts";
import type { Isolation } from "../../model/isolation.ts";
import { gvisorRefusal, parseRunscVersion, type RunscVersion } from "./gvisor.ts";
import { tryDyno } from "./runtime-trial.ts";
import type { Workshop } from "./workshop.ts";

const PROGRAM = "/usr/bin/runsc";

/**
 * Which isolation classes this machine can give. A class is tried with a whole dyno when it is first asked for, and again once
 * its program is another one; what went well is remembered until the machine restarts.
 */
export class Isolations {
  readonly #shop: Workshop;
  readonly #remembered: string;
  #tried: { readonly program: string; readonly refusal: Promise<string | null> } | undefined;

  constructor(shop: Workshop) {
    this.#shop = shop;
    this.#remembered = join(shop.instance.paths.bundles, "gvisor");
  }

  /** Why no dyno of the class can be started, in words; null: they can. */
  async refusal(isolation: Isolation): Promise<string | null> {
    if (isolation === "container") return null; // without it the engine would not have opened
    const program = await fingerprint();
    if (this.#tried?.program !== program) this.#tried = { program, refusal: this.#judge(program) };
    return this.#tried.refusal;
  }

  async #judge(program: string): Promise<string | null> {
    const facts = { architecture: process.arch, version: program === "" ? undefined : await runscVersion() };
    const without = gvisorRefusal({ ...facts, trialError: null });
    if (without !== null) return without;
    if ((await readFile(this.#remembered, "utf8").catch(() => "")) === program) return null;
    const trialError = await this.#try(program);
    return gvisorRefusal({ ...facts, trialError });
  }

  async #try(program: string): Promise<string> {
    try {
      await tryDyno(this.#shop, randomUUID(), "gvisor");
      await writeFile(this.#remembered, program);
      return "";
    } catch (error) {
      this.#shop.logger.warn("engine.runtime_failed", { runtime: "runsc", error });
      return error instanceof Error ? error.message : String(error);
    }
  }
}

/** undefined: not installed. */
export async function runscVersion(): Promise<RunscVersion | undefined> {
  if ((await fingerprint()) === "") return undefined;
  const told = await run(PROGRAM, ["--version"]).catch(() => ({ stdout: "" })); // it is there and does not run
  return parseRunscVersion(told.stdout);
}

/** Tells one version of the program from the next; "": there is none. */
async function fingerprint(): Promise<string> {
  const facts = await stat(PROGRAM).catch(() => undefined);
  return facts === undefined ? "" : `${facts.ino} ${facts.size} ${facts.mtimeMs}`;
}
