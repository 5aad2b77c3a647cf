import { contains, formatAddress, networkOf, parseBlock } from "./address-block.ts";
import { PlatformError } from "./errors.ts";

/**
 * What an app's owner says of the connections that its dynos open. It can only take away: a connection that a rule denies, and
 * none allows, is refused; all others meet the platform's own walls as if there were no rules (docs/decisions/0016-network.md).
 */
export interface EgressRule {
  readonly action: "allow" | "deny";
  /** `10.0.0.0/8`, or an address; each can be written in one way only. */
  readonly cidr: string;
  /** null: every port, and what has none. */
  readonly port: number | null;
}

/** Each is an element of a set for each of the app's dynos. */
export const EGRESS_RULES_MAX = 50;

/** Throws `invalid_params`: for what is no block, or has bits beyond its prefix. */
export function checkEgressRule({ cidr, port }: Omit<EgressRule, "action">): void {
  const block = parseBlock(cidr);
  if (block === undefined)
    throw new PlatformError(
      "invalid_params",
      `${JSON.stringify(cidr.slice(0, 80))} is not an IPv4 block: type 203.0.113.0/24, one address, or 0.0.0.0/0 for all.`,
    );
  const written = writtenAs(block.base, block.prefix);
  if (cidr !== written) throw new PlatformError("invalid_params", `${cidr} is written ${written}: type that.`);
  if (port !== null && !(Number.isInteger(port) && port >= 1 && port <= 65_535))
    throw new PlatformError("invalid_params", `${port} is not a port: type 1 to 65535.`);
}

function writtenAs(base: number, prefix: number): string {
  const first = formatAddress(networkOf(base, prefix));
  return prefix === 32 ? first : `${first}/${prefix}`;
}

/**
 * Whether these rules refuse a connection to `10.0.0.5:5432`, or to an address by a protocol without ports. IPv6
 * (`[2600::1]:443`, `2600::1`) is refused as a whole by any rule that denies.
 */
export function isDenied(rules: readonly EgressRule[], destination: string): boolean {
  if (destination.split(":").length > 2) return rules.some(({ action }) => action === "deny");
  const [address = "", port] = destination.split(":");
  const block = parseBlock(address);
  if (block === undefined) return false;
  const matches = (action: EgressRule["action"]): boolean =>
    rules.some((rule) => {
      const of = parseBlock(rule.cidr);
      if (rule.action !== action || of === undefined || !contains(of, block)) return false;
      return rule.port === null || rule.port === Number(port);
    });
  return matches("deny") && !matches("allow");
}

/** Those that say something which no other one of the same action and port says: the kernel's sets take no block within another. */
export function withoutNestedRules(rules: readonly EgressRule[]): readonly EgressRule[] {
  const parsed = rules.map((rule, at) => ({ rule, at, block: parseBlock(rule.cidr) }));
  return parsed
    .filter(
      (one) =>
        !parsed.some(
          (other) =>
            other.at !== one.at &&
            other.rule.action === one.rule.action &&
            other.rule.port === one.rule.port &&
            one.block !== undefined &&
            other.block !== undefined &&
            contains(other.block, one.block) &&
            (other.block.prefix < one.block.prefix || other.at < one.at), // of two equal ones the first stays
        ),
    )
    .map(({ rule }) => rule);
}
