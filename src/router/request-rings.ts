import {
  closeSync,
  constants,
  existsSync,
  type FSWatcher,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  watch,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { Instant } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { counterOf, type Gaps } from "./request-gaps.ts";
import { LOOK_BYTES, openRing, RequestRing } from "./request-ring.ts";

export interface RequestRingsOptions {
  readonly folder: string;
  /** Where it is kept how far was read: on tmpfs, as the rings are. */
  readonly placesFile: string;
  /** The highest counts that were seen of a worker are kept with the place. */
  readonly gaps: Gaps;
  readonly logger: Logger;
}

/** With the highest counts, if they are known. */
type Place = readonly [inode: number, position: number, http: number | null, https: number | null];

/** What was taken at a look is in the apps' logs so long after. */
const WRITTEN_MS = 10;

/**
 * The rings of all workers, those of before a reload or a crash too. How far was read is kept some milliseconds late, when that is in the
 * apps' logs: a daemon that is killed leaves out nothing, and what its successor reads twice is what came in these milliseconds.
 */
export class RequestRings implements Disposable {
  readonly #options: RequestRingsOptions;
  readonly #rings = new Map<string, RequestRing>();
  readonly #buffer = Buffer.allocUnsafeSlow(LOOK_BYTES);
  /** Where rings that are opened are gone on with. */
  readonly #former: Map<string, Place>;
  readonly #placesFd: number;
  #watcher: FSWatcher | undefined;
  #isStale = true;
  /** When something was last taken of which no place was noted; and a place that is not written down yet. */
  #movedAt: Instant | undefined;
  #toKeep: { readonly text: string; readonly at: Instant } | undefined;

  constructor(options: RequestRingsOptions) {
    this.#options = options;
    this.#former = placesIn(options.placesFile);
    this.#placesFd = openSync(options.placesFile, constants.O_RDWR | constants.O_CREAT, 0o600);
  }

  get isEmpty(): boolean {
    return this.#rings.size === 0;
  }

  /** There may be other files than at the last look: to be called now and then, for what no event tells. */
  refresh(): void {
    this.#isStale = true;
  }

  /** What has come, of the oldest worker first: some 128 kB of each at most. */
  look(now: Instant): { readonly lines: readonly string[]; readonly bytes: number } {
    if (this.#isStale) this.#scan();
    this.#keep(now - WRITTEN_MS);
    let lines: readonly string[] = [];
    let bytes = 0;
    for (const [name, ring] of this.#rings) {
      try {
        const found = ring.look();
        if (found.bytes > 0 || found.overrun > 0) this.#movedAt = now;
        if (found.overrun > 0) this.#options.logger.warn("router.ring_overrun", { worker: name, bytes: found.overrun });
        lines = lines.length === 0 ? found.lines : [...lines, ...found.lines];
        bytes = Math.max(bytes, found.bytes);
      } catch (error) {
        this.#giveUp(name, ring, error);
      }
    }
    return { lines, bytes };
  }

  /** All that was looked at is in the logs. */
  [Symbol.dispose](): void {
    writeSync(this.#placesFd, this.#places(), 0);
    this.#watcher?.close();
    for (const ring of this.#rings.values()) ring[Symbol.dispose]();
    closeSync(this.#placesFd);
  }

  #scan(): void {
    const { folder } = this.#options;
    this.#isStale = false;
    if (!existsSync(folder)) return; // the host process makes it
    this.#watch();
    const names = readdirSync(folder).filter((name) => /^\d+$/.test(name));
    names.sort((a, b) => Number(a) - Number(b)); // by age, nearly always
    for (const [name, ring] of this.#rings) {
      const facts = statSync(join(folder, name), { throwIfNoEntry: false });
      if (facts?.ino === ring.inode) continue;
      this.#rings.delete(name); // its worker is gone, and has been for long
      ring[Symbol.dispose]();
    }
    for (const name of names) if (!this.#rings.has(name)) this.#open(name);
  }

  #open(name: string): void {
    const { folder, gaps, logger } = this.#options;
    const former = this.#former.get(name);
    try {
      const ring = new RequestRing(
        openRing(join(folder, name)),
        this.#buffer,
        former && { inode: former[0], position: former[1] },
      );
      this.#rings.set(name, ring);
      if (former === undefined || ring.inode !== former[0]) return;
      const [, , ...highest] = former;
      for (const [index, number] of highest.entries())
        if (number !== null) gaps.goOn(counterOf(Number(name), index === 1), number);
    } catch (error) {
      logger.warn("router.ring_unread", { worker: name, error });
    }
  }

  #giveUp(name: string, ring: RequestRing, error: unknown): void {
    this.#options.logger.warn("router.ring_unread", { worker: name, error });
    try {
      ring.skip(); // what was in it is counted as lost when the next line comes
    } catch {
      this.#former.set(name, [ring.inode, ring.position, null, null]);
      this.#rings.delete(name); // until the next `refresh`
      ring[Symbol.dispose]();
    }
  }

  #watch(): void {
    if (this.#watcher !== undefined) return;
    const { folder, logger } = this.#options;
    try {
      this.#watcher = watch(folder, () => this.refresh());
      this.#watcher.on("error", (error) => logger.warn("router.rings_unwatched", { error }));
    } catch (error) {
      logger.warn("router.rings_unwatched", { error });
    }
  }

  /** Writes down the place of the last look that was not after `until`. */
  #keep(until: Instant): void {
    if (this.#toKeep === undefined && this.#movedAt !== undefined) {
      this.#toKeep = { text: this.#places(), at: this.#movedAt };
      this.#movedAt = undefined;
    }
    if (this.#toKeep === undefined || this.#toKeep.at > until) return;
    writeSync(this.#placesFd, this.#toKeep.text, 0); // at once for all who read: it is less than a page
    this.#toKeep = undefined;
  }

  #places(): string {
    const { gaps } = this.#options;
    const highest = (name: string, tls: boolean) => gaps.highestOf(counterOf(Number(name), tls)) ?? null;
    const places = [...this.#rings].slice(-PLACES_MAX).map(([name, ring]): readonly [string, Place] => {
      return [name, [ring.inode, ring.position, highest(name, false), highest(name, true)]];
    });
    return JSON.stringify(places).padEnd(PLACES_BYTES);
  }
}

const PLACES_BYTES = 4_000;
const PLACES_MAX = 60;

function placesIn(path: string): Map<string, Place> {
  try {
    return new Map(JSON.parse(readFileSync(path, "utf8")) as readonly (readonly [string, Place])[]); // our own
  } catch {
    return new Map(); // the first time
  }
}
