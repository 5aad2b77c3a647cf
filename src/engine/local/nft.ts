import { NOT_INTERNET, NOT_INTERNET_6 } from "../../model/address-block.ts";
import { METADATA_SERVICE } from "../../model/destination.ts";
import {
  type AddressRange,
  block6,
  buildBlock,
  gateway6Of,
  gatewayOf,
  indexOf,
  indexOf6,
  rangeBlock,
} from "./address.ts";
import { PROBE_PORT } from "./network-probe.ts";

/** Everything that the rules depend on. The rules' number does not grow with dynos (architecture, decision 5). */
export interface Rules {
  readonly table: string;
  /** Every interface whose name starts so leads to a dyno of ours. */
  readonly interfacePrefix: string;
  readonly range: AddressRange;
  /** Of dynos' IPv6 addresses; undefined: they have none, and IPv6 from them is dropped. */
  readonly prefix6: string | undefined;
  /** Ports of the router, which dynos may connect to so that an app can call another by its URL. */
  readonly routerPorts: readonly number[];
  readonly routerUid: number;
  /** Users who may open connections to dynos, besides the router. */
  readonly proberUid: number;
  /** Where the gateway's port 53 leads; undefined: names do not resolve in dynos. */
  readonly resolver: string | undefined;
  /** Private addresses and ports that build dynos may connect to: registry and proxy. */
  readonly buildAllow: readonly AllowedTarget[];
  /** Connections that one dyno may hold open through the host. */
  readonly connectionsMax: number;
  /** Of these to the router: it holds a number for everybody. */
  readonly routerConnectionsMax: number;
  /** New TCP connections that one dyno may open in a second, over a while; each is remembered for two minutes after its end. */
  readonly newConnectionsPerSecond: number;
}

export interface AllowedTarget {
  readonly address: string;
  readonly port: number;
}

/**
 * Dynos' interfaces of whichever instance; each guards its own. A container that shares the machine's network numbers its users
 * itself, so the number of our router's user may be that of another instance's router.
 */
const ANY_INSTANCE = "st*";
const NEW_CONNECTIONS_BURST = 4000;
/** What asks the machine's resolver, which answers for all: as many packets of one dyno as a machine of Heroku's may send (AWS: 1024). */
const NAMES = "1000/second burst 2000 packets";
/** By TCP a packet may hold many questions. */
const NAMES_TCP = "128 kbytes/second burst 512 kbytes";
/** So long a refusal makes the looks of `RuleKeeper`, which are closer, read the sets. */
const REFUSED_LATELY_S = 10;

/**
 * The whole table as one transaction that replaces the old one. Every value in it is ours or was parsed (addresses, numbers);
 * no text of a user's. What apps were allowed is entered into its sets apart (`allowed-elements.ts`).
 *
 * Of connections that stand, only what answers passes unseen (chain `known`; and names and builds, whose servers may have got
 * another address meanwhile): each packet that a dyno sends is looked at, so that what is allowed no longer ends at once.
 */
export function renderTable(rules: Rules): string {
  const dyno = `"${rules.interfacePrefix}*"`;
  const gateway = gatewayOf(rules.range);
  const resolvers =
    rules.resolver === undefined || rules.resolver === gateway ? gateway : `{ ${gateway}, ${rules.resolver} }`;
  const nameAsked = `ct status dnat ct original ip daddr ${gateway} meta l4proto { tcp, udp } th dport 53`;
  return `
table inet ${rules.table}
delete table inet ${rules.table}
table inet ${rules.table} {
  set not_internet { type ipv4_addr; flags interval; elements = { ${NOT_INTERNET.join(", ")} }; }
  set build_allow { type ipv4_addr . inet_service; ${elements(rules.buildAllow.map((each) => `${each.address} . ${each.port}`))} }
  set allowed { type ipv4_addr . ipv4_addr; }
  set allowed_port { type ipv4_addr . ipv4_addr . inet_service; }
  set allowed_block { type ipv4_addr . ipv4_addr; flags interval; }
  set allowed_block_port { type ipv4_addr . ipv4_addr . inet_service; flags interval; }
  set egress_allow { type ipv4_addr . ipv4_addr; flags interval; }
  set egress_allow_port { type ipv4_addr . ipv4_addr . inet_service; flags interval; }
  set egress_deny { type ipv4_addr . ipv4_addr; flags interval; }
  set egress_deny_port { type ipv4_addr . ipv4_addr . inet_service; flags interval; }
  set egress_deny_6 { type ipv6_addr; }
  set refused { type ipv4_addr . inet_proto . ipv4_addr . inet_service; flags dynamic,timeout; timeout 60s; size 16384; }
  set not_internet_6 { type ipv6_addr; flags interval; elements = { ${NOT_INTERNET_6.join(", ")} }; }
  set refused_6 { type ipv6_addr . inet_proto . ipv6_addr . inet_service; flags dynamic,timeout; timeout 60s; size 16384; }
  set refused_rate_6 { type ipv6_addr; flags dynamic,timeout; timeout 60s; size 65536; }
  set connections_6 { type ipv6_addr; flags dynamic; size 65536; }
  set router_connections_6 { type ipv6_addr; flags dynamic; size 65536; }
  set new_connections_6 { type ipv6_addr; flags dynamic,timeout; timeout 60s; size 65536; }
  set refused_lately { type nf_proto; flags dynamic,timeout; timeout ${REFUSED_LATELY_S}s; size 2; }
  set refused_rate { type ipv4_addr; flags dynamic,timeout; timeout 60s; size 65536; }
  set connections { type ipv4_addr; flags dynamic; size 65536; }
  set router_connections { type ipv4_addr; flags dynamic; size 65536; }
  set new_connections { type ipv4_addr; flags dynamic,timeout; timeout 60s; size 65536; }
  set names { type ipv4_addr; flags dynamic,timeout; timeout 60s; size 65536; }
  set names_tcp { type ipv4_addr; flags dynamic,timeout; timeout 60s; size 65536; }

  chain spoofed {
    type filter hook prerouting priority -300;
    iifname != ${dyno} accept
    ${rules.prefix6 === undefined ? "meta nfproto ipv6 drop" : `ip6 saddr != ${block6(rules.prefix6)} drop`}
    fib saddr . iif oif missing drop
    ip saddr != ${rangeBlock(rules.range)} drop
    ip daddr 127.0.0.0/8 drop
  }
  chain count {
    type filter hook prerouting priority -150;
    iifname != ${dyno} accept
    tcp flags & (syn | ack) == syn update @new_connections { ip saddr limit rate over ${rules.newConnectionsPerSecond}/second burst ${NEW_CONNECTIONS_BURST} packets } drop
    tcp flags & (syn | ack) == syn update @new_connections_6 { ip6 saddr limit rate over ${rules.newConnectionsPerSecond}/second burst ${NEW_CONNECTIONS_BURST} packets } drop
    ct state new tcp dport { ${rules.routerPorts.join(", ")} } fib daddr type local add @router_connections { ip saddr ct count over ${rules.routerConnectionsMax} } drop
    ct state new tcp dport { ${rules.routerPorts.join(", ")} } fib daddr type local add @router_connections_6 { ip6 saddr ct count over ${rules.routerConnectionsMax} } drop
    ip daddr ${resolvers} udp dport 53 update @names { ip saddr limit rate over ${NAMES} } drop
    ip daddr ${resolvers} tcp dport 53 update @names_tcp { ip saddr limit rate over ${NAMES_TCP} } drop
    ct state new add @connections { ip saddr ct count over ${rules.connectionsMax} } drop
    ct state new add @connections_6 { ip6 saddr ct count over ${rules.connectionsMax} } drop
  }
  chain translate {
    type nat hook prerouting priority -100;
    ${rules.resolver === undefined ? "" : `iifname ${dyno} ip daddr ${gateway} meta l4proto { tcp, udp } th dport 53 dnat ip to ${rules.resolver}`}
  }
  chain to_stub {
    type nat hook input priority 100;
    iifname ${dyno} ip daddr 127.0.0.0/8 snat ip to 127.0.0.1
  }
  chain to_internet {
    type nat hook postrouting priority 100;
    ip saddr ${rangeBlock(rules.range)} oifname != ${dyno} masquerade
    ${rules.prefix6 === undefined ? "" : `ip6 saddr ${block6(rules.prefix6)} oifname != ${dyno} masquerade`}
  }

  chain known {
    ct state related accept
    ct direction reply accept
    ${nameAsked} accept
    ip saddr ${buildBlock(rules.range)} accept
  }
  chain own_rules {
    ${nameAsked} return
    ip6 saddr @egress_deny_6 goto refuse
    ip saddr . ip daddr @egress_allow return
    meta l4proto { tcp, udp } ip saddr . ip daddr . th dport @egress_allow_port return
    ip saddr . ip daddr @egress_deny goto refuse
    meta l4proto { tcp, udp } ip saddr . ip daddr . th dport @egress_deny_port goto refuse
  }
  chain to_host {
    type filter hook input priority 0;
    iifname != ${dyno} accept
    ct state established,related jump known
    ${nameAsked} accept
    jump own_rules
    tcp dport { ${rules.routerPorts.join(", ")} } accept
    ${allowedIn("allowed")}
    goto refuse
  }
  chain from_dynos {
    type filter hook forward priority -10;
    iifname != ${dyno} accept
    ct state established,related jump known
    jump own_rules
    ${allowedIn("allowed")}
    oifname ${dyno} goto refuse
    ${rules.resolver === undefined ? "" : `ip daddr ${rules.resolver} meta l4proto { tcp, udp } th dport 53 accept`}
    ip saddr ${buildBlock(rules.range)} meta l4proto tcp ip daddr . tcp dport @build_allow accept
    ip daddr { ${METADATA_SERVICE}, ${rangeBlock(rules.range)} } goto refuse
    ${allowedIn("allowed_block")}
    ip daddr @not_internet goto refuse
    ip6 daddr @not_internet_6 goto refuse
    tcp dport 25 goto refuse
    accept
  }
  chain to_dynos {
    type filter hook forward priority 0;
    oifname != ${dyno} accept
    iifname ${dyno} accept comment "from_dynos let it pass"
    ct state established,related accept
    goto turn_away
  }
  chain from_host {
    type filter hook output priority 0;
    ip daddr ${gateway} udp dport ${PROBE_PORT} meta nfproto != @refused_lately drop comment "isQuiet"
    ${rules.prefix6 === undefined ? "" : `ip6 daddr ${gateway6Of(rules.prefix6)} udp dport ${PROBE_PORT} meta nfproto != @refused_lately drop`}
    ct state established,related accept
    oifname ${dyno} meta skuid { ${rules.proberUid}, ${rules.routerUid} } accept
    oifname ${dyno} reject with icmpx type admin-prohibited
    oifname "${ANY_INSTANCE}" accept
    meta skuid ${rules.routerUid} ct state new reject with icmpx type admin-prohibited
  }
  chain refuse {
    meta l4proto { tcp, udp } update @refused_rate { ip saddr limit rate 5/second burst 20 packets } add @refused { ip saddr . meta l4proto . ip daddr . th dport } update @refused_lately { meta nfproto }
    meta l4proto != { tcp, udp } update @refused_rate { ip saddr limit rate 5/second burst 20 packets } add @refused { ip saddr . meta l4proto . ip daddr . 0 } update @refused_lately { meta nfproto }
    meta l4proto { tcp, udp } update @refused_rate_6 { ip6 saddr limit rate 5/second burst 20 packets } add @refused_6 { ip6 saddr . meta l4proto . ip6 daddr . th dport } update @refused_lately { meta nfproto }
    meta l4proto != { tcp, udp } update @refused_rate_6 { ip6 saddr limit rate 5/second burst 20 packets } add @refused_6 { ip6 saddr . meta l4proto . ip6 daddr . 0 } update @refused_lately { meta nfproto }
    goto turn_away
  }
  chain turn_away {
    meta l4proto tcp reject with tcp reset
    reject with icmpx type admin-prohibited
  }
}
`;
}

/**
 * Rules inside each namespace for platforms whose domain is `localhost`: every resolver says that `hello.localhost` is
 * 127.0.0.1, which in a dyno is the dyno itself. The namespace routes those ports to the host (`renderInner`), these rules
 * name it. Nothing else is tracked, on the loopback neither: the host tracks what leaves, and the kernel charges what it tracks to nobody, so
 * that a dyno could take the machine's memory with it. A rule for each port: a set of ports takes 20 KiB of the kernel's memory, in
 * each namespace.
 */
export function renderInnerTable(gateway: string, routerPorts: readonly number[]): string {
  const each = (render: (port: number) => string): string => routerPorts.map(render).join("\n    ");
  const named = (port: number): string => `oifname "eth0" ip daddr 127.0.0.1 tcp dport ${port}`;
  return `
table ip stator {
  chain sent {
    type filter hook output priority -300;
    ${each((port) => `${named(port)} accept`)}
    notrack
  }
  chain untracked {
    type filter hook prerouting priority -300;
    ${each((port) => `iifname "eth0" tcp sport ${port} accept`)}
    notrack
  }
  chain few {
    type filter hook output priority -150;
    ct state new ct count over ${INNER_CONNECTIONS_MAX} drop
  }
  chain localhost {
    type nat hook output priority -100;
    ${each((port) => `${named(port)} dnat to ${gateway}`)}
  }
}
`;
}

/** Of a dyno to the router's ports by the name localhost, those that ended lately too. */
const INNER_CONNECTIONS_MAX = 4096;

export type RefusedProtocol = "tcp" | "udp" | "other";

export interface Refusal {
  readonly index: number;
  readonly destination: string;
  readonly protocol: RefusedProtocol;
}

/** Reads `nft -j list set` of the sets `refused` and `refused_6`. Foreign things in them are passed over. */
export function parseRefusals(json: string, { range, prefix6 }: Pick<Rules, "range" | "prefix6">): Refusal[] {
  const indexFrom = (source: string): number | undefined =>
    !source.includes(":") ? indexOf(range, source) : prefix6 === undefined ? undefined : indexOf6(prefix6, source);
  return elementsOf(JSON.parse(json)).flatMap((element): Refusal[] => {
    const [source, protocol, address, port] = concatenated(element);
    const index = typeof source === "string" ? indexFrom(source) : undefined;
    if (index === undefined || typeof address !== "string") return [];
    const host = address.includes(":") ? `[${address}]` : address;
    return protocol === "tcp" || protocol === "udp"
      ? [{ index, destination: `${host}:${String(port)}`, protocol }]
      : [{ index, destination: address, protocol: "other" }];
  });
}

function elementsOf(json: unknown): readonly unknown[] {
  const items = field(json, "nftables");
  const sets = Array.isArray(items) ? items.map((item: unknown) => field(field(item, "set"), "elem")) : [];
  return sets.flatMap((found) => (Array.isArray(found) ? (found as unknown[]) : [])); // parsed JSON: any array is of unknown
}

/** `{elem: {val: {concat: [...]}, timeout, expires}}` or `{concat: [...]}`. */
function concatenated(element: unknown): readonly unknown[] {
  const value = field(field(element, "elem"), "val") ?? element;
  const parts = field(value, "concat");
  return Array.isArray(parts) ? parts : [];
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}

/** Passes what a dyno's app was allowed: all of an address, or a port of it. The port is looked up for what has one only. */
const allowedIn = (set: string): string => `ip saddr . ip daddr @${set} accept
    meta l4proto { tcp, udp } ip saddr . ip daddr . th dport @${set}_port accept`;

const elements = (texts: readonly string[]): string =>
  texts.length === 0 ? "" : `elements = { ${texts.join(", ")} };`;
