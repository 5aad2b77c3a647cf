import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../../lib/atomic-file.ts";
import type { EgressRule } from "../../model/egress-rule.ts";
import type { Instance } from "../../model/instance.ts";
import { Serial } from "./serial.ts";

export type EgressByApp = ReadonlyMap<string, readonly EgressRule[]>;

/**
 * The egress rules of apps as the daemon last told them, in root's own folder: the next host process has them before it makes
 * its table, whether there is a daemon or not.
 */
export class EgressFile {
  readonly #path: string;
  readonly #serial = new Serial();

  constructor({ paths }: Pick<Instance, "paths">) {
    this.#path = join(paths.host, "egress.json");
  }

  async read(): Promise<EgressByApp> {
    const text = await readFile(this.#path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
      return "{}"; // no app ever had any
    });
    return new Map(Object.entries(JSON.parse(text) as Record<string, readonly EgressRule[]>)); // only `set` writes it
  }

  /** Durable when it resolves; gives what there is now. */
  set(appId: string, rules: readonly EgressRule[]): Promise<EgressByApp> {
    return this.#serial.run("", async () => {
      const all = new Map(await this.read());
      if (rules.length === 0 && !all.has(appId)) return all;
      if (rules.length === 0) all.delete(appId);
      else all.set(appId, rules);
      await writeFileAtomic(this.#path, JSON.stringify(Object.fromEntries(all)), { mode: 0o600 });
      return all;
    });
  }
}
