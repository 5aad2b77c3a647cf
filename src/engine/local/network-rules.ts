import type { Clock, Instant } from "../../lib/clock.ts";
import { run } from "../../lib/command.ts";
import type { Logger } from "../../lib/logger.ts";
import { nftText } from "./network-commands.ts";
import { RefusalFilter } from "./network-refusals.ts";
import { type AllowedTarget, parseRefusals, type Refusal, type Rules, renderTable } from "./nft.ts";
import { pickResolver, type ResolverFiles, readResolvers } from "./resolver.ts";

export interface RuleKeeperOptions {
  /** What never changes of the rules. */
  readonly fixed: Omit<Rules, "resolver" | "buildAllow">;
  readonly resolverFiles: ResolverFiles;
  readonly buildAllow: () => Promise<readonly AllowedTarget[]>;
  /** Called before rules that name another resolver are loaded. */
  readonly onResolver: (resolver: string | undefined) => Promise<void>;
  /** On tmpfs. */
  readonly folder: string;
  readonly logger: Logger;
  readonly clock: Clock;
}

const LOOK_MS = 2000;
const REFRESH_MS = 30_000;

/** Keeps the table equal to what the host's resolver and the allowed addresses are, and reads what it refused. */
export class RuleKeeper implements AsyncDisposable {
  readonly #options: RuleKeeperOptions;
  readonly #listeners = new Set<(refusal: Refusal) => void>();
  readonly #filter = new RefusalFilter();
  readonly #stop = new AbortController();
  #loaded = "";
  #servers = "";
  #resolver: string | undefined;
  #buildAllow: readonly AllowedTarget[] = [];
  #refreshAt: Instant = 0;
  #loop: Promise<void> = Promise.resolve();

  /** The rules stand when this resolves. */
  static async open(options: RuleKeeperOptions): Promise<RuleKeeper> {
    const keeper = new RuleKeeper(options);
    await keeper.#refresh(await readResolvers(options.resolverFiles));
    keeper.#loop = keeper.#keep();
    return keeper;
  }

  private constructor(options: RuleKeeperOptions) {
    this.#options = options;
  }

  get resolver(): string | undefined {
    return this.#resolver;
  }

  onRefused(listener: (refusal: Refusal) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  forget(index: number): void {
    this.#filter.forget(index);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#loop;
  }

  async #keep(): Promise<void> {
    const { clock, logger } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await clock.sleep(LOOK_MS, signal).catch(() => {}); // aborted: the loop ends
      if (signal.aborted) return;
      try {
        await this.#look();
      } catch (error) {
        logger.warn("network.rules_failed", { error });
      }
    }
  }

  async #look(): Promise<void> {
    const servers = await readResolvers(this.#options.resolverFiles);
    const refusals = await this.#refused();
    if (refusals === undefined) {
      // Somebody flushed the tables (restarting `nftables.service` does): dynos must not stay without walls.
      this.#options.logger.warn("network.table_lost", { table: this.#options.fixed.table });
      this.#loaded = "";
    }
    const due = this.#options.clock.now() >= this.#refreshAt;
    if (due || this.#loaded === "" || servers.join() !== this.#servers) await this.#refresh(servers);
    for (const refusal of this.#filter.fresh(refusals ?? [], this.#options.clock.now()))
      for (const listener of this.#listeners) listener(refusal);
  }

  /** undefined: the table is not there. */
  async #refused(): Promise<readonly Refusal[] | undefined> {
    const { fixed } = this.#options;
    try {
      const { stdout } = await run("nft", ["-j", "list", "set", "inet", fixed.table, "refused"]);
      return parseRefusals(stdout, fixed.range);
    } catch (error) {
      const tables = await run("nft", ["list", "tables", "inet"]);
      if (tables.stdout.split("\n").includes(`table inet ${fixed.table}`)) throw error;
      return undefined;
    }
  }

  async #refresh(servers: readonly string[]): Promise<void> {
    const { fixed, folder, clock, logger, buildAllow, onResolver } = this.#options;
    this.#refreshAt = clock.now() + REFRESH_MS;
    const [resolver, allowed] = await Promise.all([
      pickResolver(servers),
      buildAllow().catch((error: unknown) => {
        logger.warn("network.build_allow_failed", { error });
        return this.#buildAllow; // what held a moment ago
      }),
    ]);
    const text = renderTable({ ...fixed, resolver, buildAllow: allowed });
    if (text !== this.#loaded) {
      await onResolver(resolver);
      await nftText(folder, text);
      logger.info("network.rules_loaded", { table: fixed.table, resolver, buildAllow: allowed.length });
    }
    this.#loaded = text;
    this.#servers = servers.join();
    this.#resolver = resolver;
    this.#buildAllow = allowed;
  }
}
