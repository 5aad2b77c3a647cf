import { createHash, randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../../lib/atomic-file.ts";
import { run } from "../../lib/command.ts";
import type { ReadyFilter } from "./ready-filter.ts";
import { tryDyno } from "./runtime-trial.ts";
import type { Workshop } from "./workshop.ts";

/** Where crun keeps what it compiled, beside a container's state. */
const COMPILED = "seccomp.bpf";
/** What a process says of itself that a filter watches over. */
const IS_FILTERED = "grep -q '^Seccomp:.2$' /proc/self/status";

interface Remembered {
  readonly fingerprint: string;
  readonly base64: string;
}

/**
 * The profile as the runtime itself compiled it, so that not every start compiles it again, which is the largest part of a
 * start (facts 1). Taken from a trial dyno made with the profile as JSON, then tried in another one, whose filter must be the same
 * byte for byte. Kept until the machine restarts, for this profile and this version of the runtime.
 */
export class CompiledFilter implements ReadyFilter {
  #base64: string | null = null;

  /** null: every start compiles the JSON. */
  get base64(): string | null {
    return this.#base64;
  }

  /** Never rejects: where the runtime gives or takes no compiled filter, it compiles the JSON at each start. */
  async compile(shop: Workshop): Promise<void> {
    const { runtime, logger } = shop;
    if (runtime.name !== "crun") return; // runc has no such thing
    try {
      const path = join(shop.instance.paths.bundles, "seccomp-filter");
      const fingerprint = await fingerprintOf(shop);
      const text = await readFile(path, "utf8").catch(() => undefined); // the first time since the machine started
      const known = text === undefined ? undefined : (JSON.parse(text) as Remembered); // written here alone
      if (known?.fingerprint === fingerprint) {
        this.#base64 = known.base64;
        return;
      }
      const base64 = await filterOfTrial(shop);
      this.#base64 = base64;
      if ((await filterOfTrial(shop)) !== base64) throw new Error("the runtime does not take what it compiled");
      await writeFileAtomic(path, JSON.stringify({ fingerprint, base64 } satisfies Remembered));
      logger.info("engine.filter_compiled", { bytes: Buffer.byteLength(base64, "base64") });
    } catch (error) {
      this.#base64 = null;
      logger.warn("engine.filter_not_compiled", { message: "Every start compiles the seccomp profile.", error });
    }
  }
}

function filterFileOf(runtime: { readonly root: string }, dynoId: string): string {
  return join(runtime.root, dynoId, COMPILED);
}

async function filterOfTrial(shop: Workshop): Promise<string> {
  const id = randomUUID();
  let bytes: Buffer | undefined;
  const inspect = async (): Promise<void> => {
    bytes = await readFile(filterFileOf(shop.runtime, id));
  };
  await tryDyno(shop, id, { command: IS_FILTERED, inspect });
  if (bytes === undefined || bytes.length === 0 || bytes.length % INSTRUCTION_BYTES !== 0)
    throw new Error(`${COMPILED} of a trial holds ${bytes?.length ?? 0} bytes`);
  return bytes.toString("base64");
}

/** `struct sock_filter`. */
const INSTRUCTION_BYTES = 8;

async function fingerprintOf({ seccomp }: Workshop): Promise<string> {
  const { stdout } = await run("crun", ["--version"]);
  return createHash("sha256").update(JSON.stringify({ seccomp, stdout })).digest("hex");
}
