/** Blocks of IPv4 addresses. */
export interface Block {
  readonly base: number;
  readonly prefix: number;
}

/** All that is not the internet: private, shared, link-local, loopback, documentation, benchmarking, multicast, reserved. */
export const NOT_INTERNET = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/3",
];

/**
 * All of IPv6 that is not the internet: everything outside 2000::/3 (loopback, unique local, link-local, multicast, IPv4 in
 * disguise, NAT64), and in it Teredo, documentation and 6to4, behind which private IPv4 addresses may hide.
 */
export const NOT_INTERNET_6 = ["::/3", "2001::/32", "2001:db8::/32", "2002::/16", "4000::/2", "8000::/1"];

/** Parses `10.0.0.0/8`, `10.1.2.3`; undefined for anything else (`default` among it). */
export function parseBlock(text: string): Block | undefined {
  const [address = "", length, ...rest] = text.split("/");
  const base = parseAddress(address);
  const prefix = length === undefined ? 32 : /^\d{1,2}$/.test(length) ? Number(length) : 33;
  return base === undefined || prefix > 32 || rest.length > 0 ? undefined : { base, prefix };
}

export function parseAddress(text: string): number | undefined {
  const octets = text.split(".");
  if (octets.length !== 4 || !octets.every((octet) => /^\d{1,3}$/.test(octet) && Number(octet) < 256)) return undefined;
  return octets.reduce((value, octet) => ((value << 8) | Number(octet)) >>> 0, 0);
}

export function formatAddress(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join(".");
}

/** Whether two blocks share an address. The default route (prefix 0) overlaps with nothing: it is no claim. */
export function overlap(one: Block, other: Block): boolean {
  const prefix = Math.min(one.prefix, other.prefix);
  return prefix > 0 && networkOf(one.base, prefix) === networkOf(other.base, prefix);
}

/** Whether every address of `inner` is one of `outer`. */
export function contains(outer: Block, inner: Block): boolean {
  return outer.prefix <= inner.prefix && networkOf(inner.base, outer.prefix) === networkOf(outer.base, outer.prefix);
}

/** The first address of the block with this prefix that the address lies in. */
export function networkOf(address: number, prefix: number): number {
  return prefix === 0 ? 0 : ((address >>> (32 - prefix)) << (32 - prefix)) >>> 0;
}
