import { type AddressRange, address6Of, addressOf, block6, gateway6Of, gatewayOf, rangeBlock } from "./address.ts";

/** Text for `ip -batch`, pure: what is made on the host and inside a namespace for a dyno's network. */
export interface Layout {
  readonly range: AddressRange;
  /** Of the instance's IPv6 addresses (`prefix6Of`); undefined: the kernel has no IPv6. */
  readonly prefix6: string | undefined;
  readonly netnsPrefix: string;
  readonly interfacePrefix: string;
  /** Ports that `*.localhost` leads to; undefined: the platform's domain is another. */
  readonly localhostPorts: readonly number[] | undefined;
}

/**
 * A pair of interfaces with the gateway's address on one end, since the kernel need not have dummy interfaces; and a route
 * that refuses what goes to addresses without a dyno, which also shows other programs that the range is taken.
 */
export function renderGateway({ range, prefix6, interfacePrefix }: Layout): string {
  return lines([
    `link add ${interfacePrefix}gw type veth peer name ${interfacePrefix}gx`,
    `link set ${interfacePrefix}gw addrgenmode none up`,
    `link set ${interfacePrefix}gx addrgenmode none up`,
    `addr add ${gatewayOf(range)}/32 dev ${interfacePrefix}gw`,
    `route replace unreachable ${rangeBlock(range)}`,
    ...(prefix6 === undefined
      ? []
      : [
          `addr add ${gateway6Of(prefix6)}/128 dev ${interfacePrefix}gw nodad`,
          `route replace unreachable ${block6(prefix6)}`,
        ]),
  ]);
}

/** The host's half. Neighbours are permanent, so that a thousand dynos do not fill the kernel's table of 1,024. */
export function renderOuter(layout: Layout, index: number): string {
  const [device, netns, address] = [nameOf(layout, index), netnsOf(layout, index), addressOf(layout.range, index)];
  return lines([
    `netns add ${netns}`,
    // One queue each, where the kernel would make one for every processor.
    `link add ${device} address ${HOST_MAC} ${QUEUES} type veth peer name eth0 address ${macOf(index)} ${QUEUES} netns ${netns}`,
    `link set ${device} addrgenmode none up`,
    `route add ${address}/32 dev ${device} src ${gatewayOf(layout.range)}`,
    `neigh replace ${address} lladdr ${macOf(index)} nud permanent dev ${device}`,
    ...(layout.prefix6 === undefined
      ? []
      : [
          `route add ${address6Of(layout.prefix6, index)}/128 dev ${device}`,
          `neigh replace ${address6Of(layout.prefix6, index)} lladdr ${macOf(index)} nud permanent dev ${device}`,
        ]),
  ]);
}

/**
 * The dyno's half. Of IPv6 one address, permanent neighbours and no link-local one: no neighbour is ever asked for. With `localhostPorts`, connections to
 * 127.0.0.1 on these are routed to the host (a rule before the table `local`), where `renderInnerTable` renames them.
 */
export function renderInner(layout: Layout, index: number): string {
  const [address, gateway] = [addressOf(layout.range, index), gatewayOf(layout.range)];
  const toGateway = `default via ${gateway} dev eth0 onlink src ${address}`;
  const ports = layout.localhostPorts;
  return lines([
    "link set lo up",
    `addr add ${address}/32 dev eth0`,
    "link set eth0 addrgenmode none up",
    `neigh replace ${gateway} lladdr ${HOST_MAC} nud permanent dev eth0`,
    `route add ${toGateway}`,
    ...(layout.prefix6 === undefined ? [] : renderInner6(layout.prefix6, index)),
    ...(ports === undefined
      ? []
      : [
          `route add ${toGateway} table 100`,
          "rule add pref 20 lookup local",
          ...ports.map((port, at) => `rule add pref ${10 + at} to 127.0.0.1 ipproto tcp dport ${port} lookup 100`),
          "rule del pref 0",
        ]),
  ]);
}

function renderInner6(prefix6: string, index: number): readonly string[] {
  const gateway = gateway6Of(prefix6);
  return [
    `addr add ${address6Of(prefix6, index)}/128 dev eth0 nodad`,
    `neigh replace ${gateway} lladdr ${HOST_MAC} nud permanent dev eth0`,
    `route add default via ${gateway} dev eth0 onlink`,
  ];
}

export function renderNetnsRemoval(layout: Pick<Layout, "netnsPrefix">, indexes: readonly number[]): string {
  return lines(indexes.map((index) => `netns del ${netnsOf(layout, index)}`));
}

export function renderLinkRemoval(layout: Pick<Layout, "interfacePrefix">, indexes: readonly number[]): string {
  return lines(indexes.map((index) => `link del ${nameOf(layout, index)}`));
}

export const nameOf = ({ interfacePrefix }: Pick<Layout, "interfacePrefix">, index: number): string =>
  `${interfacePrefix}${index}`;
export const netnsOf = ({ netnsPrefix }: Pick<Layout, "netnsPrefix">, index: number): string =>
  `${netnsPrefix}${index}`;

/** The number behind the prefix; undefined for the gateway's pair and for what is not ours. */
export function indexOfName(prefix: string, name: string): number | undefined {
  const digits = name.startsWith(prefix) ? name.slice(prefix.length) : "";
  return /^[1-9]\d{0,4}$/.test(digits) ? Number(digits) : undefined;
}

const QUEUES = "numtxqueues 1 numrxqueues 1";
const HOST_MAC = "02:53:54:00:00:01";
const macOf = (index: number): string => `02:53:54:01:${hex(index >> 8)}:${hex(index & 0xff)}`;
const hex = (octet: number): string => octet.toString(16).padStart(2, "0");
const lines = (texts: readonly string[]): string => `${texts.join("\n")}\n`;
