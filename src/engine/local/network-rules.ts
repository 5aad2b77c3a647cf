import type { Clock, Instant } from "../../lib/clock.ts";
import { run } from "../../lib/command.ts";
import type { Logger } from "../../lib/logger.ts";
import { Nudge } from "../../lib/nudge.ts";
import type { EgressRule } from "../../model/egress-rule.ts";
import { gateway6Of, gatewayOf } from "./address.ts";
import { AllowedElements } from "./allowed-elements.ts";
import type { AllowedByApp, AppAllow } from "./app-allow.ts";
import type { EgressFile } from "./egress-file.ts";
import { isQuiet } from "./network-probe.ts";
import { RefusalFilter } from "./network-refusals.ts";
import { NetworkTable } from "./network-table.ts";
import { type AllowedTarget, parseRefusals, type Refusal, type Rules, renderTable } from "./nft.ts";
import { pickResolver, type ResolverFiles, readResolvers } from "./resolver.ts";
import { Serial } from "./serial.ts";

export interface RuleKeeperOptions {
  /** What never changes of the rules. */
  readonly fixed: Omit<Rules, "resolver" | "buildAllow">;
  readonly resolverFiles: ResolverFiles;
  readonly buildAllow: () => Promise<readonly AllowedTarget[]>;
  readonly appAllow: AppAllow;
  readonly egress: EgressFile;
  /** The apps of dynos that live already, by the indexes of their addresses: their connections must not be cut by our start. */
  readonly owners: ReadonlyMap<number, string>;
  /** Called before rules that name another resolver are loaded. */
  readonly onResolver: (resolver: string | undefined) => Promise<void>;
  /** On tmpfs. */
  readonly folder: string;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** Where somebody was refused just now, more will come: then looks are closer. */
const LOOK_MS = 2000;
const BUSY_LOOK_MS = 1500;
const BUSY_MS = 30_000;
const REFRESH_MS = 30_000;

/** Keeps the table equal to what the host's resolver and the allowed addresses are, and reads what it refused. */
export class RuleKeeper implements AsyncDisposable {
  readonly #options: RuleKeeperOptions;
  readonly #listeners = new Set<(refusal: Refusal) => void>();
  readonly #filter = new RefusalFilter();
  readonly #stop = new AbortController();
  readonly #bell = new Nudge();
  readonly #serial = new Serial();
  readonly #allowed: AllowedElements;
  readonly #table: NetworkTable;
  readonly #watch: Disposable;
  #servers = "";
  #resolver: string | undefined;
  #buildAllow: readonly AllowedTarget[] = [];
  #appAllowDue = false;
  #appAllow: AllowedByApp | undefined;
  #appAllowApplied: string | undefined;
  #refreshAt: Instant = 0;
  #busyUntil: Instant = 0;
  #loop: Promise<void> = Promise.resolve();

  /** The rules stand when this resolves. */
  static async open(options: RuleKeeperOptions): Promise<RuleKeeper> {
    const keeper = new RuleKeeper(options);
    keeper.#allowed.setEgress(await options.egress.read()); // before any rule: what was denied is denied at once
    await keeper.#refresh(await readResolvers(options.resolverFiles));
    keeper.#loop = keeper.#keep();
    return keeper;
  }

  private constructor(options: RuleKeeperOptions) {
    const { fixed, owners, appAllow, folder, logger } = options;
    this.#options = options;
    this.#allowed = new AllowedElements(fixed.range, fixed.prefix6, owners);
    this.#table = new NetworkTable({ name: fixed.table, folder, wanted: () => this.#allowed.all(), logger });
    this.#watch = appAllow.watch(() => {
      this.#appAllowDue = true;
      this.#bell.ring();
    });
  }

  get resolver(): string | undefined {
    return this.#resolver;
  }

  onRefused(listener: (refusal: Refusal) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  /**
   * Whose dyno has the address from now on; undefined: nobody's. When this resolves the rules let it reach what its app was
   * allowed, and no more. Asks nothing of the kernel for an app that was allowed nothing.
   */
  async setOwner(index: number, appId: string | undefined): Promise<void> {
    if (appId === undefined) this.#filter.forget(index);
    this.#allowed.setOwner(index, appId);
    if (!this.#table.holds(index, this.#allowed.of(index))) await this.#table.enter();
  }

  /** What the app's owner says of its dynos' connections; noted and in the rules when this resolves. */
  async setEgress(appId: string, rules: readonly EgressRule[]): Promise<void> {
    this.#allowed.setEgress(await this.#options.egress.set(appId, rules));
    await this.#table.enter();
  }

  /** The app is gone, and what it was allowed with it. */
  async forgetApp(appId: string): Promise<void> {
    await this.setEgress(appId, []);
    await this.#options.appAllow.forget(appId);
    await this.#readAppAllow();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#watch[Symbol.dispose]();
    await this.#loop;
  }

  async #keep(): Promise<void> {
    const { clock, logger } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#bell.wait(clock.now() < this.#busyUntil ? BUSY_LOOK_MS : LOOK_MS, signal, clock);
      if (signal.aborted) return;
      try {
        if (this.#appAllowDue) await this.#readAppAllow();
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
      this.#table.lost();
    }
    const due = this.#options.clock.now() >= this.#refreshAt;
    if (due || this.#table.isLost || servers.join() !== this.#servers) await this.#refresh(servers);
    const now = this.#options.clock.now();
    const fresh = this.#filter.fresh(refusals ?? [], now);
    if (fresh.length > 0) this.#busyUntil = now + BUSY_MS;
    for (const refusal of fresh) for (const listener of this.#listeners) listener(refusal);
  }

  /** Asks `nft`, a program of 10 ms, where the rules do not say by themselves that there is nothing. undefined: the table is not there. */
  async #refused(): Promise<readonly Refusal[] | undefined> {
    const { fixed } = this.#options;
    const { range, prefix6, table } = fixed;
    const [quiet, quiet6] = await Promise.all([
      isQuiet(gatewayOf(range)),
      prefix6 === undefined || isQuiet(gateway6Of(prefix6)),
    ]);
    const refusals: Refusal[] = [];
    try {
      for (const set of [...(quiet ? [] : ["refused"]), ...(quiet6 ? [] : ["refused_6"])]) {
        const { stdout } = await run("nft", ["-j", "list", "set", "inet", table, set]);
        refusals.push(...parseRefusals(stdout, fixed));
      }
      return refusals;
    } catch (error) {
      const tables = await run("nft", ["list", "tables", "inet"]);
      if (tables.stdout.split("\n").includes(`table inet ${table}`)) throw error;
      return undefined;
    }
  }

  async #refresh(servers: readonly string[]): Promise<void> {
    const { fixed, clock, logger, buildAllow, onResolver } = this.#options;
    this.#refreshAt = clock.now() + REFRESH_MS;
    const [resolver, allowed] = await Promise.all([
      pickResolver(servers),
      buildAllow().catch((error: unknown) => {
        logger.warn("network.build_allow_failed", { error });
        return this.#buildAllow; // what held a moment ago
      }),
      this.#readAppAllow(),
    ]);
    const rules = renderTable({ ...fixed, resolver, buildAllow: allowed });
    if (!this.#table.stands(rules)) {
      await onResolver(resolver);
      await this.#table.load(rules);
      logger.info("network.rules_loaded", { table: fixed.table, resolver, buildAllow: allowed.length });
      await this.#tellApplied();
    }
    this.#servers = servers.join();
    this.#resolver = resolver;
    this.#buildAllow = allowed;
  }

  /** Reads what apps were allowed, one reader at a time, so that the last word is the newest. */
  #readAppAllow(): Promise<void> {
    return this.#serial.run("app-allow", async () => {
      this.#appAllowDue = false;
      try {
        this.#appAllow = await this.#options.appAllow.read();
        this.#allowed.setAllowed(this.#appAllow.apps);
        await this.#table.enter();
        await this.#tellApplied();
      } catch (error) {
        this.#options.logger.warn("network.app_allow_failed", { error }); // what held a moment ago goes on to hold
      }
    });
  }

  async #tellApplied(): Promise<void> {
    const { appAllow, logger } = this.#options;
    const now = this.#appAllow;
    if (now === undefined || now.version === this.#appAllowApplied || this.#table.isLost) return;
    try {
      await appAllow.applied(now);
      this.#appAllowApplied = now.version;
      logger.info("network.app_allow_loaded", { apps: now.apps.size });
    } catch (error) {
      logger.warn("network.app_allow_untold", { error }); // it holds all the same
    }
  }
}
