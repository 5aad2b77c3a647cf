import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../../config.ts";
import { type Clock, systemClock } from "../../lib/clock.ts";
import { run } from "../../lib/command.ts";
import type { Logger } from "../../lib/logger.ts";
import type { DynoKind } from "../../model/dyno.ts";
import type { EgressRule } from "../../model/egress-rule.ts";
import type { Instance } from "../../model/instance.ts";
import { type AddressRange, addressOf, gatewayOf, rangeBlock } from "./address.ts";
import type { AppAllow } from "./app-allow.ts";
import { networkOwners } from "./dyno-folder.ts";
import { EgressFile } from "./egress-file.ts";
import { type Layout, nameOf, netnsOf, renderGateway } from "./network-batch.ts";
import { ipBatch, ipJson } from "./network-commands.ts";
import { needForwarding, releaseForwarding } from "./network-forwarding.ts";
import { destroy, existing, INTERFACES_FOLDER, NamespacePool, NETNS_FOLDER } from "./network-pool.ts";
import { claimRange, forgetRange, rememberedRange } from "./network-range.ts";
import { RuleKeeper } from "./network-rules.ts";
import { type AllowedTarget, type RefusedProtocol, renderInnerTable } from "./nft.ts";
import { RESOLVER_FILES, type ResolverFiles } from "./resolver.ts";

/** A network namespace with one routed address, ready for a dyno; never used by two. */
export interface DynoNetwork {
  readonly index: number;
  /** For the runtime's `namespaces` entry of type `network`. */
  readonly netnsPath: string;
  readonly address: string;
  /** Also the dyno's only name server: the dyno's `resolv.conf` names it. */
  readonly gateway: string;
}

export interface NetworkPool extends AsyncDisposable {
  /**
   * A namespace out of the pool, from which the app's own allowed destinations are reached; waits for one to be made when the
   * pool is empty.
   */
  take(kind: DynoKind, appId: string): Promise<DynoNetwork>;
  /**
   * Takes over the namespace of a dyno that outlived the last host process. To be called for all of them after
   * `openNetwork`, before the first `take`: what is not adopted then and was in use is destroyed.
   */
  adopt(index: number, kind: DynoKind): DynoNetwork;
  /** Destroys the namespace. Repeatable. */
  release(index: number): Promise<void>;
  /** What the app's owner says of its dynos' connections, those that run and those to come. Durable. */
  setEgress(appId: string, rules: readonly EgressRule[]): Promise<void>;
  /** Forgets what the app was allowed and denied. Repeatable. */
  forgetApp(appId: string): Promise<void>;
  /** Refused connections of dynos, at most one a minute for each dyno and destination (`10.0.0.5:5432`). */
  onRefused(listener: (index: number, destination: string, protocol: RefusedProtocol) => void): Disposable;
}

export interface NetworkOptions {
  readonly instance: Instance;
  readonly config: Pick<Config, "httpPort" | "httpsPort" | "domain">;
  /** Private addresses that build dynos need (registry, proxy); asked again from time to time. */
  readonly buildAllow: () => Promise<readonly AllowedTarget[]>;
  /** What apps were allowed by the machine's operator. */
  readonly appAllow: AppAllow;
  readonly routerUid: number;
  /** Who else may connect to dynos: root, for the readiness probe. */
  readonly probeUid: number;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Namespaces kept ready. */
  readonly poolSize: number;
  /** For tests: where the host's name servers are read. */
  readonly resolverFiles?: ResolverFiles;
}

/**
 * The network of all dynos of this instance (architecture, decision 5). Disposing of it leaves rules and namespaces as they
 * are, since dynos live on; `removeNetwork` takes them away.
 */
export async function openNetwork(options: NetworkOptions): Promise<NetworkPool> {
  const { instance, config, logger, clock } = options;
  const range = await claimRange(instance);
  const routerPorts = [config.httpPort, config.httpsPort];
  const layout: Layout = {
    range,
    netnsPrefix: instance.netnsPrefix,
    interfacePrefix: instance.interfacePrefix,
    localhostPorts: isLocalhost(config.domain) ? routerPorts : undefined,
  };
  const folder = join(instance.paths.run, "networks");
  await setUpGateway(layout);
  const rules = await RuleKeeper.open({
    fixed: {
      table: instance.nftTable,
      interfacePrefix: instance.interfacePrefix,
      range,
      routerPorts,
      routerUid: options.routerUid,
      proberUid: options.probeUid,
      connectionsMax: CONNECTIONS_MAX,
    },
    resolverFiles: options.resolverFiles ?? RESOLVER_FILES,
    buildAllow: options.buildAllow,
    appAllow: options.appAllow,
    egress: new EgressFile(instance),
    owners: await networkOwners(instance.paths.bundles),
    onResolver: async (resolver) => {
      for (const index of await existing(layout)) await routeLoopback(nameOf(layout, index), resolver);
    },
    folder,
    logger,
    clock,
  });
  await needForwarding(instance); // only now: the rules stand
  const namespaces = await NamespacePool.open({
    layout,
    poolSize: options.poolSize,
    folder,
    innerRules: layout.localhostPorts && renderInnerTable(gatewayOf(range), layout.localhostPorts),
    prepare: (device) => routeLoopback(device, rules.resolver),
    logger,
    clock,
  });
  return new LocalNetwork(layout, namespaces, rules);
}

/**
 * Takes away everything that `openNetwork` and its dynos left on the host, by the instance's names alone, and returns when
 * the kernel is done. Repeatable.
 */
export async function removeNetwork(instance: Instance): Promise<void> {
  const range = (await rememberedRange(instance)) ?? (await standingRange(instance));
  await destroy(instance, [...(await existing(instance))]);
  await removeGateway(instance, range);
  // Adding what is there changes nothing, and deleting it then cannot fail for its absence.
  const table = `table inet ${instance.nftTable}`;
  await run("nft", [`add ${table}; delete ${table}`]);
  await releaseForwarding(instance);
  await forgetRange(instance);
  await rm(join(instance.paths.run, "networks"), { recursive: true, force: true });
  await untilGone(instance);
}

class LocalNetwork implements NetworkPool {
  readonly #layout: Layout;
  readonly #namespaces: NamespacePool;
  readonly #rules: RuleKeeper;

  constructor(layout: Layout, namespaces: NamespacePool, rules: RuleKeeper) {
    this.#layout = layout;
    this.#namespaces = namespaces;
    this.#rules = rules;
  }

  async take(kind: DynoKind, appId: string): Promise<DynoNetwork> {
    const index = await this.#namespaces.take(kind === "build" ? "build" : "dyno");
    try {
      await this.#rules.setOwner(index, appId);
    } catch (error) {
      await this.release(index).catch(() => {}); // the caller is told why it is not there at all
      throw error;
    }
    return this.#describe(index);
  }

  adopt(index: number, _kind: DynoKind): DynoNetwork {
    this.#namespaces.adopt(index); // its kind is in the index, and whose it is was known when the rules were made
    return this.#describe(index);
  }

  async release(index: number): Promise<void> {
    await Promise.all([this.#rules.setOwner(index, undefined), this.#namespaces.release(index)]);
  }

  setEgress(appId: string, rules: readonly EgressRule[]): Promise<void> {
    return this.#rules.setEgress(appId, rules);
  }

  forgetApp(appId: string): Promise<void> {
    return this.#rules.forgetApp(appId);
  }

  onRefused(listener: (index: number, destination: string, protocol: RefusedProtocol) => void): Disposable {
    return this.#rules.onRefused(({ index, destination, protocol }) => listener(index, destination, protocol));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#namespaces[Symbol.asyncDispose]();
    await this.#rules[Symbol.asyncDispose]();
  }

  #describe(index: number): DynoNetwork {
    return {
      index,
      netnsPath: join(NETNS_FOLDER, netnsOf(this.#layout, index)),
      address: addressOf(this.#layout.range, index),
      gateway: gatewayOf(this.#layout.range),
    };
  }
}

/** So that one dyno cannot fill the host's table of connections (decision 14); the table holds 262,144 by default. */
const CONNECTIONS_MAX = 8192;
const GONE_MS_MAX = 30_000;

const isLocalhost = (domain: string): boolean => domain === "localhost" || domain.endsWith(".localhost");

async function setUpGateway(layout: Layout): Promise<void> {
  const interfaces = await readdir(INTERFACES_FOLDER);
  if (!interfaces.includes(`${layout.interfacePrefix}gw`)) await ipBatch(renderGateway(layout));
}

/** What the gateway's address says, where `network.json` is gone. */
async function standingRange(instance: Instance): Promise<AddressRange | undefined> {
  const addresses = JSON.stringify(await ipJson("-4", "addr", "show"));
  const pattern = new RegExp(`"ifname":"${instance.interfacePrefix}gw".*?"local":"10\\.(\\d+)\\.0\\.1"`);
  const octet = pattern.exec(addresses)?.[1];
  return octet === undefined ? undefined : { octet: Number(octet) };
}

async function removeGateway(instance: Instance, range: AddressRange | undefined): Promise<void> {
  const interfaces = await readdir(INTERFACES_FOLDER);
  const routes = await ipJson("-4", "route", "show", "type", "unreachable");
  const block = range && rangeBlock(range);
  const ours = block !== undefined && JSON.stringify(routes).includes(`"${block}"`);
  const commands = [
    ...(interfaces.includes(`${instance.interfacePrefix}gw`) ? [`link del ${instance.interfacePrefix}gw`] : []),
    ...(ours ? [`route del unreachable ${block}`] : []),
  ];
  if (commands.length > 0) await ipBatch(`${commands.join("\n")}\n`, { force: true });
}

/** Packets for a resolver on the host's loopback addresses are martians unless the interface they come by says otherwise. */
async function routeLoopback(device: string, resolver: string | undefined): Promise<void> {
  const value = resolver?.startsWith("127.") === true ? "1" : "0";
  await writeFile(`/proc/sys/net/ipv4/conf/${device}/route_localnet`, value).catch(() => {}); // the dyno just went away
}

/** The kernel takes namespaces apart in the background. */
async function untilGone(instance: Instance): Promise<void> {
  const deadline = systemClock.now() + GONE_MS_MAX;
  while (systemClock.now() < deadline) {
    const interfaces = await readdir(INTERFACES_FOLDER);
    const left = interfaces.filter((name) => name.startsWith(instance.interfacePrefix));
    if (left.length === 0 && (await existing(instance)).size === 0) return;
    await systemClock.sleep(20, new AbortController().signal);
  }
  throw new Error(
    `Interfaces or namespaces of ${instance.interfacePrefix} are still there after ${GONE_MS_MAX / 1000} s.`,
  );
}
