import { type Destination, withoutNested } from "../../model/destination.ts";
import { type EgressRule, withoutNestedRules } from "../../model/egress-rule.ts";
import { type AddressRange, address6Of, addressOf, isBuildIndex } from "./address.ts";

/**
 * What apps were allowed, as elements of the table's sets `allowed...` (`nft.ts`), and what their owners deny, as those of
 * `egress_...`: one for each of an app's dynos and each of its destinations, so that the rules stay as many as they are and a
 * dyno of an app that was allowed and denied nothing is not in them. An owner's rules are not for build dynos.
 */
export class AllowedElements {
  readonly #range: AddressRange;
  readonly #prefix6: string | undefined;
  readonly #owners = new Map<number, string>();
  #allowed: ReadonlyMap<string, readonly Destination[]> = new Map();
  #egress: ReadonlyMap<string, readonly EgressRule[]> = new Map();

  constructor(range: AddressRange, prefix6: string | undefined, owners: ReadonlyMap<number, string>) {
    this.#range = range;
    this.#prefix6 = prefix6;
    for (const [index, appId] of owners) this.#owners.set(index, appId);
  }

  /** Whose dyno has the address; undefined: nobody's. */
  setOwner(index: number, appId: string | undefined): void {
    if (appId === undefined) this.#owners.delete(index);
    else this.#owners.set(index, appId);
  }

  setAllowed(allowed: ReadonlyMap<string, readonly Destination[]>): void {
    this.#allowed = new Map([...allowed].map(([appId, all]) => [appId, withoutNested(all)]));
  }

  setEgress(egress: ReadonlyMap<string, readonly EgressRule[]>): void {
    this.#egress = new Map([...egress].map(([appId, all]) => [appId, withoutNestedRules(all)]));
  }

  of(index: number): readonly string[] {
    const appId = this.#owners.get(index);
    const source = addressOf(this.#range, index);
    const allowed = appId === undefined ? undefined : this.#allowed.get(appId);
    const egress = appId === undefined || isBuildIndex(index) ? undefined : this.#egress.get(appId);
    return [
      ...(allowed ?? []).map((destination) => elementOf(source, destination)),
      ...(egress ?? []).map((rule) => egressElementOf(source, rule)),
      ...this.#without6(index, egress ?? []),
    ];
  }

  /** Rules speak of IPv4: an app that denies anything gets no IPv6 at all, or there would be a way around. */
  #without6(index: number, egress: readonly EgressRule[]): readonly string[] {
    if (this.#prefix6 === undefined || !egress.some(({ action }) => action === "deny")) return [];
    return [`egress_deny_6 { ${address6Of(this.#prefix6, index)} }`];
  }

  /** The elements of each index that has any. */
  all(): Elements {
    const found = new Map<number, readonly string[]>();
    if (this.#allowed.size === 0 && this.#egress.size === 0) return found;
    for (const index of this.#owners.keys()) {
      const elements = this.of(index);
      if (elements.length > 0) found.set(index, elements);
    }
    return found;
  }
}

export type Elements = ReadonlyMap<number, readonly string[]>;

export const NO_ELEMENTS: Elements = new Map();

/** One transaction that makes `after` of `before`; "" where they are equal. */
export function renderChange(table: string, before: Elements, after: Elements): string {
  const [old, wanted] = [new Set([...before.values()].flat()), new Set([...after.values()].flat())];
  // What goes goes first: the kernel refuses an interval that overlaps with one which is still there.
  return [
    ...[...old].filter((each) => !wanted.has(each)).map((each) => line("delete", table, each)),
    ...[...wanted].filter((each) => !old.has(each)).map((each) => line("add", table, each)),
  ].join("");
}

export function sameElements(one: readonly string[] = [], other: readonly string[] = []): boolean {
  return one.length === other.length && one.every((each, at) => each === other[at]);
}

/** The set's name, then what is in it. */
function elementOf(source: string, { where, isExact, port }: Destination): string {
  const set = `allowed${isExact ? "" : "_block"}${port === null ? "" : "_port"}`;
  return `${set} { ${source} . ${where}${port === null ? "" : ` . ${port}`} }`;
}

function egressElementOf(source: string, { action, cidr, port }: EgressRule): string {
  const set = `egress_${action}${port === null ? "" : "_port"}`;
  const where = cidr === "0.0.0.0/0" ? "0.0.0.0-255.255.255.255" : cidr; // nft takes no prefix 0 within a concatenation
  return `${set} { ${source} . ${where}${port === null ? "" : ` . ${port}`} }`;
}

const line = (verb: string, table: string, element: string): string => `${verb} element inet ${table} ${element}\n`;
