import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../../config.ts";
import { type Clock, systemClock } from "../../lib/clock.ts";
import { CommandError, run } from "../../lib/command.ts";
import type { Logger } from "../../lib/logger.ts";
import { settled } from "../../lib/settled.ts";
import type { DynoKind } from "../../model/dyno.ts";
import type { EgressRule } from "../../model/egress-rule.ts";
import type { Instance } from "../../model/instance.ts";
import { BUILD_SIZE, DEFAULT_SIZE, type NetworkRates, sizeNamed } from "../../model/size.ts";
import { type AddressRange, address6Of, addressOf, block6, gatewayOf, prefix6Of, rangeBlock } from "./address.ts";
import type { AppAllow } from "./app-allow.ts";
import { networkOwners } from "./dyno-folder.ts";
import { EgressFile } from "./egress-file.ts";
import { ownLimits } from "./host-limits.ts";
import { indexOfName, type Layout, nameOf, netnsOf, renderGateway } from "./network-batch.ts";
import { ipBatch, ipJson } from "./network-commands.ts";
import { needForwarding, releaseForwarding } from "./network-forwarding.ts";
import { destroy, existing, INTERFACES_FOLDER, NamespacePool, NETNS_FOLDER, type Purpose } from "./network-pool.ts";
import { claimRange, forgetRange, rememberedRange } from "./network-range.ts";
import { RuleKeeper } from "./network-rules.ts";
import { Shaper } from "./network-shaper.ts";
import { type AllowedTarget, type RefusedProtocol, renderInnerTable } from "./nft.ts";
import { RESOLVER_FILES, type ResolverFiles } from "./resolver.ts";
import { trafficOf } from "./usage-counters.ts";

/** A network namespace with one routed address, ready for a dyno; never used by two. */
export interface DynoNetwork {
  readonly index: number;
  /** For the runtime's `namespaces` entry of type `network`. */
  readonly netnsPath: string;
  readonly address: string;
  /** Also the dyno's only name server: the dyno's `resolv.conf` names it. */
  readonly gateway: string;
  /** Its IPv6 address, behind the host's; null: the kernel has no IPv6. */
  readonly address6: string | null;
}

export interface NetworkPool extends AsyncDisposable {
  /**
   * A namespace out of the pool, from which the app's own allowed destinations are reached; waits for one to be made when the
   * pool is empty. Its interface is held to the rates; without any, to those of the default size.
   */
  take(kind: DynoKind, appId: string, rates?: NetworkRates): Promise<DynoNetwork>;
  /**
   * Takes over the namespace of a dyno that outlived the last host process; undefined: it is not there any more. To be called
   * for all of them after `openNetwork`, before `adopted` and the first `take`: what was in use and is not adopted then is
   * destroyed.
   */
  adopt(index: number, kind: DynoKind): DynoNetwork | undefined;
  /** All that live were adopted; until then, or the first `take`, nothing is destroyed or made. */
  adopted(): void;
  /** Destroys the namespace. Repeatable. */
  release(index: number): Promise<void>;
  /** What the app's owner says of its dynos' connections, those that run and those to come. Durable. */
  setEgress(appId: string, rules: readonly EgressRule[]): Promise<void>;
  /** Forgets what the app was allowed and denied. Repeatable. */
  forgetApp(appId: string): Promise<void>;
  /** Bytes that came into and went out of each dyno since its namespace was made, by its index. */
  traffic(): Promise<ReadonlyMap<number, { readonly inBytes: number; readonly outBytes: number }>>;
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
  const prefix6 = (await hasIpv6()) ? prefix6Of(instance.id, range) : undefined;
  const routerPorts = [config.httpPort, config.httpsPort];
  const layout: Layout = {
    range,
    prefix6,
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
      prefix6,
      routerPorts,
      routerUid: options.routerUid,
      proberUid: options.probeUid,
      connectionsMax: CONNECTIONS_MAX,
      routerConnectionsMax: await routerConnectionsMax(),
      newConnectionsPerSecond: NEW_CONNECTIONS_PER_SECOND,
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
  await needForwarding(instance, prefix6 !== undefined); // only now: the rules stand
  const shaper = new Shaper(layout, logger);
  const namespaces = await NamespacePool.open({
    layout,
    poolSize: options.poolSize,
    folder,
    innerRules: layout.localhostPorts && renderInnerTable(gatewayOf(range), layout.localhostPorts),
    prepare: (device) => routeLoopback(device, rules.resolver),
    shaper,
    rates: usualRates,
    logger,
    clock,
  });
  return new LocalNetwork(layout, namespaces, rules, shaper);
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
  readonly #shaper: Shaper;

  constructor(layout: Layout, namespaces: NamespacePool, rules: RuleKeeper, shaper: Shaper) {
    this.#layout = layout;
    this.#namespaces = namespaces;
    this.#rules = rules;
    this.#shaper = shaper;
  }

  async take(kind: DynoKind, appId: string, rates?: NetworkRates): Promise<DynoNetwork> {
    const purpose = kind === "build" ? "build" : "dyno";
    const index = await this.#namespaces.take(purpose);
    try {
      const held = this.#shaper.apply(index, rates ?? usualRates(purpose));
      await settled<[void, boolean]>([this.#rules.setOwner(index, appId), held]);
    } catch (error) {
      await this.release(index).catch(() => {}); // the caller is told why it is not there at all
      throw error;
    }
    return this.#describe(index);
  }

  adopt(index: number, _kind: DynoKind): DynoNetwork | undefined {
    // Its kind is in the index, and whose it is was known when the rules were made.
    return this.#namespaces.adopt(index) ? this.#describe(index) : undefined;
  }

  adopted(): void {
    this.#namespaces.adopted();
  }

  async release(index: number): Promise<void> {
    await this.#rules.setOwner(index, undefined); // first: once the namespace is gone the index may be another's
    await this.#namespaces.release(index);
  }

  setEgress(appId: string, rules: readonly EgressRule[]): Promise<void> {
    return this.#rules.setEgress(appId, rules);
  }

  forgetApp(appId: string): Promise<void> {
    return this.#rules.forgetApp(appId);
  }

  async traffic(): Promise<ReadonlyMap<number, { readonly inBytes: number; readonly outBytes: number }>> {
    const interfaces = trafficOf(await readFile("/proc/net/dev", "utf8"));
    const { interfacePrefix } = this.#layout;
    return new Map(
      [...interfaces].flatMap(([name, { inBytes, outBytes }]) => {
        const index = indexOfName(interfacePrefix, name);
        return index === undefined ? [] : [[index, { inBytes: outBytes, outBytes: inBytes }] as const]; // the host's end
      }),
    );
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
      address6: this.#layout.prefix6 === undefined ? null : address6Of(this.#layout.prefix6, index),
    };
  }
}

/** What most dynos have; the others' are set when they start. */
const usualRates = (purpose: Purpose): NetworkRates =>
  (purpose === "build" ? BUILD_SIZE : (sizeNamed(DEFAULT_SIZE) ?? BUILD_SIZE)).network;

/** So that one dyno cannot fill the host's table of connections (decision 14); the table holds 262,144 by default. */
const CONNECTIONS_MAX = 8192;
/** Sustained, they take an eighth of the table, whose ended connections the kernel drops first when it is nearly full. */
const NEW_CONNECTIONS_PER_SECOND = 1000;
/** Two descriptors of the router each. */
const ROUTER_CONNECTIONS_MIN = 128;
const ROUTER_CONNECTIONS_MAX = 4096;
const ROUTER_SHARE = 1 / 32;

/** One dyno's part of what the router can hold under this host's limit of open files. */
async function routerConnectionsMax(): Promise<number> {
  const { openFilesMax } = await ownLimits();
  const part = Math.floor(openFilesMax * ROUTER_SHARE);
  return Math.min(ROUTER_CONNECTIONS_MAX, Math.max(ROUTER_CONNECTIONS_MIN, part));
}
const GONE_MS_MAX = 30_000;

const isLocalhost = (domain: string): boolean => domain === "localhost" || domain.endsWith(".localhost");

/** Whether the kernel has IPv6, and nobody has turned it off. */
async function hasIpv6(): Promise<boolean> {
  const off = await readFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", "utf8").catch(() => "1"); // built without
  return off.trim() === "0";
}

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

/** Asks for no list of routes first: where other instances change theirs meanwhile, the kernel's list may lack some. */
async function removeGateway(instance: Instance, range: AddressRange | undefined): Promise<void> {
  const gateway = `${instance.interfacePrefix}gw`;
  if ((await readdir(INTERFACES_FOLDER)).includes(gateway)) await ipBatch(`link del ${gateway}\n`);
  if (range === undefined) return;
  const blocks = [rangeBlock(range), ...((await hasIpv6()) ? [block6(prefix6Of(instance.id, range))] : [])];
  for (const block of blocks) await ipBatch(`route del unreachable ${block}\n`).catch(ignoreAbsent);
}

function ignoreAbsent(error: unknown): void {
  if (!(error instanceof CommandError && error.stderr.includes("No such process"))) throw error;
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
