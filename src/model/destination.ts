import { type Block, contains, formatAddress, NOT_INTERNET, networkOf, parseBlock } from "./address-block.ts";

/**
 * Something that the network rules refuse to dynos and that the machine's operator may allow an app: `10.0.0.5:5432`,
 * `10.0.0.5` (all ports, and what has none), `10.0.0.0/8:5432`, `10.0.0.0/8`. Each can be written in one way only.
 */
export interface Destination {
  readonly text: string;
  /** The text without the port. */
  readonly where: string;
  readonly block: Block;
  /**
   * Named without a prefix. Only so are the host's own addresses, other dynos and the metadata service allowed: nobody means
   * these by a block that happens to hold them.
   */
  readonly isExact: boolean;
  readonly port: number | null;
}

/** Where cloud machines ask for their credentials. */
export const METADATA_SERVICE = "169.254.169.254";

/** It cannot be allowed; the message says why, and what to type instead. */
export class DestinationError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "DestinationError";
  }
}

const FORM = /^(?<address>[\d.]+)(?:\/(?<prefix>\d{1,2}))?(?::(?<port>\d{1,5}))?$/;
/** Mail between servers: refused everywhere, on the internet too. */
const MAIL_PORT = 25;
/** Nothing there is reached from a dyno, allowed or not. */
const NOWHERE: readonly (readonly [block: string, why: string])[] = [
  ["127.0.0.0/8", "inside a dyno that is the dyno itself; allow an address of the host that its servers listen on"],
  ["0.0.0.0/8", "nothing has such an address"],
  ["224.0.0.0/4", "multicast does not leave a dyno"],
  ["255.255.255.255", "broadcast does not leave a dyno"],
];

/** Throws `DestinationError`. */
export function parseDestination(text: string): Destination {
  const { address = "", prefix, port } = FORM.exec(text)?.groups ?? {};
  const block = parseBlock(prefix === undefined ? address : `${address}/${prefix}`);
  if (block === undefined) throw new DestinationError(`${printable(text)} is not an IPv4 address. ${FORMS}`);
  if (prefix === "32") throw new DestinationError(`One address is written without its prefix: type ${address}.`);
  const destination: Destination = {
    where: whereOf(block, prefix === undefined),
    text: `${whereOf(block, prefix === undefined)}${port === undefined ? "" : `:${Number(port)}`}`,
    block,
    isExact: prefix === undefined,
    port: port === undefined ? null : Number(port),
  };
  if (destination.port !== null && (destination.port < 1 || destination.port > 65_535))
    throw new DestinationError(`${port} is not a port: type 1 to 65535.`);
  if (destination.text !== text) throw new DestinationError(`${text} is written ${destination.text}: type that.`);
  refuseNowhere(destination);
  refuseInternet(destination);
  return destination;
}

const FORMS =
  "Type 10.0.0.5:5432, 10.0.0.5 for all ports, or 10.0.0.0/8 for a whole network; names are not taken, since they may come to mean something else.";

/** An address is the same text as long as its octets are; of a block it is the first address. */
function whereOf({ base, prefix }: Block, isExact: boolean): string {
  return isExact ? formatAddress(base) : `${formatAddress(networkOf(base, prefix))}/${prefix}`;
}

function refuseNowhere({ text, block }: Destination): void {
  const found = NOWHERE.find(([each]) => contains(blockOf(each), block));
  if (found !== undefined) throw new DestinationError(`${text} cannot be allowed: ${found[1]}.`);
}

function refuseInternet(destination: Destination): void {
  if (destination.isExact || !isOnInternet(destination)) return; // a host may have an address of the internet itself
  const { text, block } = destination;
  const touches = NOT_INTERNET.find((each) => contains(block, blockOf(each)));
  if (touches === undefined) throw new DestinationError(onInternet(text));
  throw new DestinationError(
    `${text} reaches into the internet, which every dyno may reach already: name the private part, as ${touches}.`,
  );
}

/** Whether every dyno may reach some of it without being allowed to, unless the address is the host's own. */
export function isOnInternet({ block, port }: Destination): boolean {
  return port !== MAIL_PORT && !NOT_INTERNET.some((each) => contains(blockOf(each), block));
}

/** Why there is nothing to allow. */
export function onInternet(text: string): string {
  return `${text} is on the internet, which every dyno may reach already (but for port ${MAIL_PORT}).`;
}

function blockOf(text: string): Block {
  const block = parseBlock(text);
  if (block === undefined) throw new Error(`${text} is no block`);
  return block;
}

/** What a person typed, in a sentence. */
const printable = (text: string): string => JSON.stringify(text.slice(0, 80));

/**
 * Those that say something which no other one says already: of blocks that lie in each other the kernel's sets take only one.
 */
export function withoutNested(destinations: readonly Destination[]): readonly Destination[] {
  return destinations.filter(
    (one) =>
      one.isExact ||
      !destinations.some(
        (other) =>
          other.text !== one.text && !other.isExact && other.port === one.port && contains(other.block, one.block),
      ),
  );
}
