import { type Block, overlap, parseAddress } from "../../model/address-block.ts";

/**
 * Addresses of dynos: one /16 out of 10/8 for each instance, and in it one address for each index. Pure.
 *
 *     10.R.0.1                     the host, as dynos see it: gateway, router, name server
 *     10.R.0.2   .. 10.R.239.254   dynos
 *     10.R.240.1 .. 10.R.255.254   build dynos, so that rules can tell them by prefix
 */
export interface AddressRange {
  /** The second octet. */
  readonly octet: number;
}

const GATEWAY_INDEX = 1;
const FIRST_DYNO = 2;
const FIRST_BUILD = 0xf000;
const END = 0xffff;

/**
 * IPv6: a unique local /64 for each instance (RFC 4193), of its id and its range: as unlikely to meet another network as the
 * id is to meet another id. Indexes are the same; `::1` is the host as dynos see it.
 */
export const prefix6Of = (id: string, { octet }: AddressRange): string =>
  `fd53:${id.slice(0, 4)}:${id.slice(4, 6)}${octet.toString(16).padStart(2, "0")}:1`;
export const block6 = (prefix6: string): string => `${prefix6}::/64`;
export const address6Of = (prefix6: string, index: number): string => `${prefix6}::${index.toString(16)}`;
export const gateway6Of = (prefix6: string): string => address6Of(prefix6, GATEWAY_INDEX);

/** The index whose IPv6 address this is, as the kernel's tools write it. */
export function indexOf6(prefix6: string, address: string): number | undefined {
  const canonical = (text: string) => text.replaceAll(/(^|:)0+(?=[0-9a-f])/g, "$1");
  const prefix = `${canonical(prefix6)}::`;
  const digits = canonical(address).startsWith(prefix) ? canonical(address).slice(prefix.length) : "";
  const index = /^[0-9a-f]{1,4}$/.test(digits) ? Number.parseInt(digits, 16) : 0;
  return isUsable(index) ? index : undefined;
}

export const rangeBlock = ({ octet }: AddressRange): string => `10.${octet}.0.0/16`;
export const buildBlock = ({ octet }: AddressRange): string => `10.${octet}.240.0/20`;
export const gatewayOf = (range: AddressRange): string => addressOf(range, GATEWAY_INDEX);
export const addressOf = ({ octet }: AddressRange, index: number): string =>
  `10.${octet}.${index >> 8}.${index & 0xff}`;

/** The index whose address this is; undefined for addresses that no dyno can have. */
export function indexOf({ octet }: AddressRange, address: string): number | undefined {
  const base = parseAddress(address);
  if (base === undefined || base >>> 16 !== ((10 << 8) | octet)) return undefined;
  const index = base & 0xffff;
  return isUsable(index) ? index : undefined;
}

/** Whether the index belongs to build dynos. */
export const isBuildIndex = (index: number): boolean => index >= FIRST_BUILD;

/**
 * The next index after `last` that is not in use, round and round, so that an address rests as long as possible before
 * its next dyno: connections of the last one are forgotten by then. undefined: all are in use.
 */
export function nextIndex(last: number, build: boolean, inUse: { has(index: number): boolean }): number | undefined {
  const [first, end] = build ? [FIRST_BUILD, END] : [FIRST_DYNO, FIRST_BUILD];
  const count = end - first;
  const from = last >= first && last < end ? last - first + 1 : 0;
  for (let step = 0; step < count; step++) {
    const index = first + ((from + step) % count);
    if (isUsable(index) && !inUse.has(index)) return index;
  }
  return undefined;
}

/** The range to use: the remembered one if it is free, else the first free one from a start that the id gives. */
export function chooseRange(
  id: string,
  remembered: AddressRange | undefined,
  taken: readonly Block[],
): AddressRange | undefined {
  const start = Number.parseInt(id, 16) % 256;
  const octets = Array.from({ length: 256 }, (_, step) => (start + step) % 256);
  const candidates = remembered ? [remembered.octet, ...octets] : octets;
  const octet = candidates.find((each) => !taken.some((block) => overlap(blockOf({ octet: each }), block)));
  return octet === undefined ? undefined : { octet };
}

export const blockOf = ({ octet }: AddressRange): Block => ({ base: ((10 << 24) | (octet << 16)) >>> 0, prefix: 16 });

function isUsable(index: number): boolean {
  const last = index & 0xff; // .0 and .255 work, but too much software takes them for networks and broadcasts
  return index >= FIRST_DYNO && index < END && last !== 0 && last !== 0xff;
}
