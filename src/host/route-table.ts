import { readFile } from "node:fs/promises";
import { writeFileAtomic } from "../lib/atomic-file.ts";
import type { AppRoute } from "../router/routes.ts";
import { entriesOf, id, type Server, type Snapshot, serverNumber } from "./haproxy-config.ts";
import { isH2c, isLeast } from "./route-options.ts";

/**
 * Backends that are ready for apps to come, at least: a new app needs no reload until they are used up. After each reload there
 * are as many spare ones as apps, so that the reloads of a growing platform can be counted on the fingers.
 */
export const SPARE_MIN = 64;
/** The same for apps with `least-connections`. */
const LEAST_SPARE_MIN = 16;

interface Row extends AppRoute {
  readonly backend: number;
}
interface Saved {
  readonly next: number;
  readonly spare: readonly number[];
  /** Absent in a file of an older version. */
  readonly leastSpare?: readonly number[];
  readonly routes: readonly Row[];
}

/**
 * What the router should do for every app, with the number of each app's backend. Remembered on the host's side, so that HAProxy
 * comes back without the daemon. Numbers are never used twice.
 */
export class RouteTable {
  readonly #rows = new Map<string, Row>();
  #next = 0;
  #spare: number[] = [];
  #leastSpare: number[] = [];

  /** What the first readable of these files remembers; nothing if there is none. */
  static async load(paths: readonly string[]): Promise<RouteTable> {
    for (const path of paths) {
      try {
        const table = new RouteTable();
        table.#restore(JSON.parse(await readFile(path, "utf8")) as Saved); // root's own file; each row is checked below
        return table;
      } catch {
        // never written, or cut off: the next one
      }
    }
    return new RouteTable().refill();
  }

  /** Atomic. Not flushed to disk on tmpfs, which is where it is written before each change takes effect. */
  async save(path: string): Promise<void> {
    const [spare, leastSpare] = [this.#spare, this.#leastSpare];
    const saved: Saved = { next: this.#next, spare, leastSpare, routes: [...this.#rows.values()] };
    await writeFileAtomic(path, JSON.stringify(saved), { mode: 0o600 });
  }

  /** Whether anything is different now. Throws for a route that could not be told to HAProxy. */
  set(route: AppRoute): boolean {
    const { appId, hosts, state, dynoIds, options } = route;
    const before = this.#rows.get(appId);
    const kept = before !== undefined && kindOf(before) === kindOf(route);
    const spare = wantsLeast(route) ? this.#leastSpare : this.#spare;
    const backend = kept ? before.backend : (spare[0] ?? this.#next);
    const row: Row = { appId, hosts, state, dynoIds, ...(options && { options }), backend };
    check(row);
    if (before !== undefined && JSON.stringify(before) === JSON.stringify(row)) return false;
    if (!kept && spare.shift() === undefined) this.#next++;
    this.#rows.set(appId, row);
    return true;
  }

  remove(appId: string): boolean {
    return this.#rows.delete(appId);
  }

  apps(): readonly string[] {
    return [...this.#rows.keys()];
  }

  /** Makes spare backends again; of use before a reload. */
  refill(): this {
    const wanted = Math.max(SPARE_MIN, this.#rows.size);
    while (this.#spare.length < wanted) this.#spare.push(this.#next++);
    const least = [...this.#rows.values()].filter(wantsLeast).length;
    while (this.#leastSpare.length < Math.max(LEAST_SPARE_MIN, least)) this.#leastSpare.push(this.#next++);
    return this;
  }

  /** With the dynos that have an address now. */
  snapshot(serverOf: (dynoId: string) => Server | undefined): Snapshot {
    const apps = [...this.#rows.values()].map(({ dynoIds, ...app }) => {
      const servers = withoutTwins(dynoIds.map(serverOf).filter((server) => server !== undefined));
      return { ...app, servers: speaksH2c(app) ? servers.map((server) => ({ ...server, h2c: true })) : servers };
    });
    return { apps, spare: this.#spare, leastSpare: this.#leastSpare };
  }

  #restore({ next, spare, leastSpare = [], routes }: Saved): void {
    for (const number of [next, ...spare, ...leastSpare])
      if (!Number.isSafeInteger(number)) throw new Error("not a table of routes");
    for (const row of routes) {
      check(row);
      this.#rows.set(row.appId, row);
    }
    this.#next = next;
    this.#spare = [...spare];
    this.#leastSpare = [...leastSpare];
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
}
