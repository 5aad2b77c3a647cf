import { BlockList, isIPv4 } from "node:net";
import { type Block, contains, NOT_INTERNET, NOT_INTERNET_6, parseBlock } from "../model/address-block.ts";
import { type Destination, METADATA_SERVICE } from "../model/destination.ts";

/** What decides where the platform connects on behalf of an app. */
export interface Reach {
  /** What the machine's operator allowed the app (`stator network:allow`). */
  readonly allowed: readonly Destination[];
  /** The host's own addresses, of both families. */
  readonly own: readonly string[];
  /** Where dynos' addresses lie; undefined: not known, so no block of 10/8 counts. */
  readonly dynos: Block | undefined;
}

/** Mail between servers: refused to dynos on the internet too. */
const MAIL_PORT = 25;
const NOT_IPV4 = NOT_INTERNET.map(blockOf);
const NOT_IPV6 = new BlockList();
for (const each of NOT_INTERNET_6) {
  const [base = "", prefix] = each.split("/");
  NOT_IPV6.addSubnet(base, Number(prefix), "ipv6");
}
const TEN = blockOf("10.0.0.0/8");

/**
 * Whether the platform may open a TCP connection there for an app: what the walls let the app's own dynos reach (decision 16).
 * The internet is open but for port 25; private networks, loopback, the metadata service and the host's own addresses are not,
 * unless the operator allowed them. `address` is the one that is connected to, never a name.
 */
export function isReachable(address: string, port: number, reach: Reach): boolean {
  if (!isIPv4(address)) return !NOT_IPV6.check(address, "ipv6") && !reach.own.includes(address) && port !== MAIL_PORT;
  const block = blockOf(address);
  if (reach.allowed.some((each) => isExactly(each, block, port))) return true;
  if (reach.own.includes(address) || address === METADATA_SERVICE) return false;
  if (isOfDynos(block, reach.dynos)) return false;
  if (reach.allowed.some((each) => isWithin(each, block, port))) return true;
  return port !== MAIL_PORT && !NOT_IPV4.some((each) => contains(each, block));
}

/** Without knowing where dynos are, all of 10/8 may be theirs. */
function isOfDynos(block: Block, dynos: Block | undefined): boolean {
  return contains(dynos ?? TEN, block);
}

function isExactly(allowed: Destination, block: Block, port: number): boolean {
  return allowed.isExact && isWithin(allowed, block, port);
}

function isWithin(allowed: Destination, block: Block, port: number): boolean {
  return contains(allowed.block, block) && (allowed.port === null || allowed.port === port);
}

function blockOf(text: string): Block {
  const block = parseBlock(text);
  if (block === undefined) throw new Error(`not an IPv4 address: ${JSON.stringify(text)}`);
  return block;
}
