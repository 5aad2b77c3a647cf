import type { DomainJson } from "./certs.ts";
import { type Input, UsageError } from "./command.ts";

/** The columns of `domains`, by the official client's titles, and what its flags make of them. */
const COLUMNS = {
  "Domain Name": ({ hostname }) => hostname,
  "DNS Record Type": ({ hostname }) => (isApex(hostname) ? "ALIAS or ANAME" : "CNAME"),
  "DNS Target": ({ cname }) => cname ?? "",
  "ACM Status": ({ acm_status: status, acm_status_reason: reason }) =>
    [status, reason].filter((each) => typeof each === "string" && each !== "").join(": "),
  "SNI Endpoint": ({ sni_endpoint: endpoint }) => endpoint?.name ?? "",
} satisfies Readonly<Record<string, (domain: DomainJson) => string>>;
type Title = keyof typeof COLUMNS;

const TITLES = Object.keys(COLUMNS) as Title[]; // the table above has exactly these keys
const KEYS: ReadonlyMap<string, Title> = new Map([
  ["hostname", "Domain Name"],
  ["kind", "DNS Record Type"],
  ["cname", "DNS Target"],
  ["acm_status", "ACM Status"],
  ["sni_endpoint", "SNI Endpoint"],
]);

/** The title row and a row for each domain, as `--columns`, `--extended`, `--filter` and `--sort` say. Throws `UsageError`. Pure. */
export function domainRows(domains: readonly DomainJson[], input: Input): readonly (readonly string[])[] {
  const asked = input.text("columns")?.split(",");
  const titles =
    asked?.map((each) => titleOf(each, "Columns")) ??
    TITLES.filter((title) => title !== "ACM Status" || input.has("extended"));
  const wanted = filtered(domains, input.text("filter"));
  const sort = input.text("sort");
  const by = sort === undefined ? undefined : COLUMNS[titleOf(sort, "Sort")];
  const sorted = by === undefined ? wanted : wanted.toSorted((one, other) => (by(one) < by(other) ? -1 : 1));
  return [titles, ...sorted.map((domain) => titles.map((title) => COLUMNS[title](domain)))];
}

/** RFC 4180, with line feeds. Pure. */
export function csvOf(rows: readonly (readonly string[])[]): readonly string[] {
  return rows.map((row) =>
    row.map((cell) => (/["\n\r,]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(","),
  );
}

/** `Domain Name=example`: domains whose cell holds that. */
function filtered(domains: readonly DomainJson[], filter: string | undefined): readonly DomainJson[] {
  if (filter === undefined) return domains;
  const equals = filter.indexOf("=");
  const value = filter.slice(equals + 1).trim();
  if (equals < 1 || value === "") throw new UsageError("Filter flag has an invalid value");
  const cell = COLUMNS[titleOf(filter.slice(0, equals), "Filter")];
  return domains.filter((domain) => cell(domain).includes(value));
}

function titleOf(text: string, flag: string): Title {
  const word = text.trim().toLowerCase();
  const title = TITLES.find((each) => each.toLowerCase() === word) ?? KEYS.get(word);
  if (title === undefined) throw new UsageError(`${flag} flag has an invalid value: say ${TITLES.join(", ")}.`);
  return title;
}

/** `example.com` itself: a CNAME cannot stand there. Names below a suffix of two parts (`.co.uk`) are not told apart. */
function isApex(hostname: string): boolean {
  return hostname.split(".").length === 2 && !hostname.includes("*");
}
