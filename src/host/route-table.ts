import { appendFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { writeFileAtomic } from "../lib/atomic-file.ts";
import type { AppRoute } from "../router/routes.ts";
import {
  BACKEND_NAME,
  backendOf,
  entriesOf,
  id,
  type Server,
  type Snapshot,
  serverNumber,
  type Wanted,
} from "./haproxy-config.ts";
import { checked } from "./haproxy-text.ts";
import { isH2c, isLeast } from "./route-options.ts";

/**
 * Backends that are ready for apps to come, at least: a new app needs no reload until they are used up. After each reload there
 * are as many spare ones as apps, so that the reloads of a growing platform can be counted on the fingers.
 */
export const SPARE_MIN = 64;
/** The same for apps with `least-connections`. */
const LEAST_SPARE_MIN = 16;
/** Lines behind a whole table before it is written whole again; more with many apps. */
const LINES_MAX = 4_000;
const FORMER_MAX = 8;

interface Row extends AppRoute {
  readonly backend: number;
  /** Names of the backends it had before, the latest first: requests and WebSockets that are open stay where they are. */
  readonly former?: readonly string[];
}
/** The first line of the file. `routes`: of a program that wrote all into one line. */
interface Saved {
  readonly next: number;
  readonly spare: readonly number[];
  /** Absent in a file of an older version. */
  readonly leastSpare?: readonly number[];
  readonly routes?: readonly Row[];
}

/**
 * What the router should do for every app, with the number of each app's backend. Remembered on the host's side, so that HAProxy
 * comes back without the daemon. Numbers are never used twice.
 *
 * In a file: a line with the numbers, one for each app, and then one for each change (`{"gone":"<app id>"}` for an app that
 * went). A change costs its own line, however many apps there are.
 */
export class RouteTable {
  readonly #rows = new Map<string, { readonly row: Row; readonly text: string }>();
  /**
   * The apps that want a host name, the latest last: it has it. There are two only while a name moves from one to the other, and
   * nobody knows which of them is told first.
   */
  readonly #claims = new Map<string, string[]>();
  #next = 0;
  #spare: number[] = [];
  #leastSpare: number[] = [];
  /** The file that changes are added to, since it was written whole: lines that were added, and that it lacks. */
  #journal: { readonly path: string; added: number; missing: string[]; isWhole: boolean } | undefined;

  /** What the first readable of these files remembers; nothing if there is none. */
  static async load(paths: readonly string[]): Promise<RouteTable> {
    for (const path of paths) {
      try {
        const table = new RouteTable();
        table.#restore((await readFile(path, "utf8")).split("\n"));
        return table;
      } catch {
        // never written, or cut off: the next one
      }
    }
    return new RouteTable().refill();
  }

  /** Writes all of it, atomically, flushed. */
  async save(path: string): Promise<void> {
    await writeFileAtomic(path, this.#text(), { mode: 0o600 });
  }

  /** The same, and from now on `remember` adds to this file. */
  async begin(path: string): Promise<void> {
    const journal = { path, added: 0, missing: [], isWhole: false };
    this.#journal = journal;
    await this.save(path);
    journal.isWhole = true;
  }

  /** Whether all of it must be written: it never was, or what was added to it has grown long. */
  get needsBegin(): boolean {
    const journal = this.#journal;
    return journal?.isWhole !== true || journal.added + journal.missing.length > LINES_MAX + 4 * this.#rows.size;
  }

  /** Adds what changed to the file that was begun, at once. Not flushed: it is on tmpfs. */
  remember(): void {
    const journal = this.#journal;
    if (journal?.isWhole !== true || journal.missing.length === 0) return;
    appendFileSync(journal.path, journal.missing.join(""));
    journal.added += journal.missing.length;
    journal.missing = [];
  }

  /** The apps for which anything is different now. Throws for a route that could not be told to HAProxy. */
  set(route: AppRoute): readonly string[] {
    const { appId, hosts, state, dynoIds, options } = route;
    const before = this.#rows.get(appId);
    const kept = before !== undefined && kindOf(before.row) === kindOf(route);
    const spare = wantsLeast(route) ? this.#leastSpare : this.#spare;
    const backend = kept ? before.row.backend : (spare[0] ?? this.#next);
    const former = kept || before === undefined ? before?.row.former : formerOf(before.row);
    const row: Row = { appId, hosts, state, dynoIds, ...(options && { options }), backend, ...(former && { former }) };
    const text = `${JSON.stringify(row)}\n`;
    if (before?.text === text) return [];
    check(row);
    if (!kept && spare.shift() === undefined) this.#next++;
    this.#rows.set(appId, { row, text });
    this.#journal?.missing.push(text);
    return [appId, ...this.#claim(appId, before?.row.hosts ?? [], hosts)];
  }

  /** As `set`. */
  remove(appId: string): readonly string[] {
    const before = this.row(appId);
    if (before === undefined) return [];
    this.#rows.delete(appId);
    this.#journal?.missing.push(`${JSON.stringify({ gone: appId })}\n`);
    return [appId, ...this.#claim(appId, before.hosts, [])];
  }

  apps(): readonly string[] {
    return [...this.#rows.keys()];
  }

  row(appId: string): Readonly<Row> | undefined {
    return this.#rows.get(appId)?.row;
  }

  /** Names of the app's backend and of those that it had before. */
  backendsOf(appId: string): readonly string[] {
    const row = this.row(appId);
    return row === undefined ? [] : [backendOf(row), ...(row.former ?? [])];
  }

  /** The apps whose requests this dyno gets. */
  appsWith(dynoId: string): readonly string[] {
    const found: string[] = [];
    for (const [appId, { row }] of this.#rows) if (row.dynoIds.includes(dynoId)) found.push(appId);
    return found;
  }

  /** Makes spare backends again, before a reload; to be saved whole. */
  refill(): this {
    const wanted = Math.max(SPARE_MIN, this.#rows.size);
    while (this.#spare.length < wanted) this.#spare.push(this.#next++);
    const least = Array.from(this.#rows.values()).filter(({ row }) => wantsLeast(row)).length;
    while (this.#leastSpare.length < Math.max(LEAST_SPARE_MIN, least)) this.#leastSpare.push(this.#next++);
    return this;
  }

  /** Whether most spare backends are used up: it is time to make more, before a new app has to wait for that. */
  get isShort(): boolean {
    const few = (spare: readonly number[], wanted: number) => 4 * spare.length < wanted;
    return few(this.#spare, Math.max(SPARE_MIN, this.#rows.size)) || few(this.#leastSpare, LEAST_SPARE_MIN);
  }

  /** One app, with those of its dynos that have an address now. */
  wanted(appId: string, serverOf: (dynoId: string) => Server | undefined): Wanted | undefined {
    const row = this.row(appId);
    return row && this.#wantedOf(row, serverOf);
  }

  /** All of them. */
  snapshot(serverOf: (dynoId: string) => Server | undefined): Snapshot {
    const apps = Array.from(this.#rows.values(), ({ row }) => this.#wantedOf(row, serverOf));
    return { apps, spare: [...this.#spare], leastSpare: [...this.#leastSpare] };
  }

  #wantedOf({ dynoIds, former: _former, ...app }: Row, serverOf: (dynoId: string) => Server | undefined): Wanted {
    const hosts = app.hosts.filter((host) => this.#claims.get(host)?.at(-1) === app.appId);
    const servers = withoutTwins(dynoIds.map(serverOf).filter((server) => server !== undefined));
    const spoken = speaksH2c(app) ? servers.map((server) => ({ ...server, h2c: true })) : servers;
    return { ...app, hosts, servers: spoken };
  }

  /** Notes which names the app wants now; the other apps that have lost or won one by that. */
  #claim(appId: string, before: readonly string[], hosts: readonly string[]): ReadonlySet<string> {
    const others = new Set<string>();
    for (const host of hosts) {
      const claims = this.#claims.get(host) ?? [];
      if (claims.includes(appId)) continue;
      const last = claims.at(-1);
      if (last !== undefined) others.add(last);
      this.#claims.set(host, [...claims, appId]);
    }
    const kept = new Set(hosts);
    for (const host of before) {
      if (kept.has(host)) continue;
      const claims = this.#claims.get(host) ?? [];
      const left = claims.filter((each) => each !== appId);
      const last = left.at(-1);
      if (last === undefined) this.#claims.delete(host);
      else this.#claims.set(host, left);
      if (last !== undefined && last !== claims.at(-1)) others.add(last);
    }
    return others;
  }

  #text(): string {
    const head: Saved = { next: this.#next, spare: this.#spare, leastSpare: this.#leastSpare };
    return `${JSON.stringify(head)}\n${Array.from(this.#rows.values(), ({ text }) => text).join("")}`;
  }

  /** Throws for what is no table. A last line that is cut off was never acted upon. */
  #restore(lines: readonly string[]): void {
    const [head = "", ...changes] = lines;
    const { next, spare, leastSpare = [], routes = [] } = JSON.parse(head) as Saved; // root's own; each row is checked below
    for (const number of [next, ...spare, ...leastSpare])
      if (!Number.isSafeInteger(number)) throw new Error("not a table of routes");
    this.#next = next;
    const free = new Set([...spare, ...leastSpare]);
    for (const row of routes) this.#restoreRow(row, free);
    for (const line of changes.slice(0, -1)) {
      const change = JSON.parse(line) as Row | { readonly gone: string };
      if ("gone" in change) this.remove(change.gone);
      else this.#restoreRow(change, free);
    }
    this.#spare = spare.filter((number) => free.has(number));
    this.#leastSpare = leastSpare.filter((number) => free.has(number));
  }

  #restoreRow({ appId, hosts, state, dynoIds, options, backend, former }: Row, free: Set<number>): void {
    const row: Row = { appId, hosts, state, dynoIds, ...(options && { options }), backend, ...(former && { former }) };
    check(row);
    free.delete(backend);
    this.#claim(appId, this.row(appId)?.hosts ?? [], hosts);
    this.#next = Math.max(this.#next, backend + 1);
    this.#rows.set(appId, { row, text: `${JSON.stringify(row)}\n` });
  }
}

type Options = Pick<AppRoute, "options">;
const wantsLeast = ({ options }: Options): boolean => options !== undefined && isLeast(options.balance);
const speaksH2c = ({ options }: Options): boolean => options !== undefined && isH2c(options.dynoProtocol);
/** What of an app's options is part of its backend and cannot change in it: another kind needs another number. */
const kindOf = (app: Options): string => `${wantsLeast(app)} ${speaksH2c(app)}`;

/** HAProxy refuses two servers of one number in a backend; one in two thousand million pairs of dynos has such. */
function withoutTwins(servers: readonly Server[]): readonly Server[] {
  return [...new Map(servers.map((server) => [serverNumber(server), server])).values()];
}

/** Throws for anything that HAProxy could not be told safely. */
function check(row: Row): void {
  entriesOf({ ...row, servers: [] });
  for (const dynoId of row.dynoIds) id(dynoId);
  for (const name of row.former ?? []) checked(name, BACKEND_NAME, "a backend");
}

const formerOf = (row: Row): readonly string[] => [backendOf(row), ...(row.former ?? [])].slice(0, FORMER_MAX);
