import type { Instant } from "../lib/clock.ts";
import { Histogram } from "../lib/histogram.ts";
import type { RequestRecord } from "./request-line.ts";

/** Requests are counted in spans of this length; the last whole ones and the one that runs make the window. */
const SLOT_MS = 15_000;
const SLOTS = 5;
/** Dynos (and apps' requests without one) that are counted at once; the one that was silent longest makes way. */
const SERIES_MAX = 4_096;

/** What happened to requests within the window. */
export interface RequestCounts {
  readonly requests: number;
  readonly perSecond: number;
  /** By the first digit of what the client got; `other`: it had left before there was an answer. */
  readonly statuses: Readonly<Record<"1xx" | "2xx" | "3xx" | "4xx" | "5xx" | "other", number>>;
  /** Milliseconds of service time, of requests that a dyno answered and that were no upgrade; null: there was none. */
  readonly service: { readonly p50: number; readonly p95: number; readonly p99: number; readonly max: number } | null;
  /** How many waited for a dyno to come up. */
  readonly held: number;
  /** Connections to dynos that were tried again. */
  readonly retries: number;
  /** Requests by code, as `H12`. */
  readonly codes: Readonly<Record<string, number>>;
}

export interface WindowCounts extends RequestCounts {
  /** How long the window is. */
  readonly windowSeconds: number;
  /** By the dyno's id. */
  readonly byDyno: ReadonlyMap<string, RequestCounts>;
}
export interface AppRequests extends WindowCounts {
  readonly byDyno: ReadonlyMap<string, RequestCounts & { readonly name: string }>;
}

/** What others ask of the router's counts. */
export interface RequestReader {
  requestsOf(appId: string): AppRequests;
  /** When the latest request of an app ended, of those since the daemon started. */
  lastRequestAt(appId: string): Instant | undefined;
  /** Request lines of all apps that were lost since the daemon started. */
  readonly linesLost: number;
}

/** What of a request counts. */
export type Counted = Pick<RequestRecord, "dynoId" | "code" | "status" | "serviceMs" | "isHeld" | "retries">;

/**
 * Counts requests of apps and dynos over the last 60 to 75 s. Costs well under a microsecond a request, and memory for as many
 * dynos as had requests in that time.
 */
export class RequestMetrics {
  readonly #since: Instant;
  /** By app, then by dyno; "" for requests that came to none. */
  readonly #apps = new Map<string, Map<string, Series>>();
  #size = 0;
  /** The newest slot that anything was counted in. */
  #newest = 0;

  constructor(now: Instant) {
    this.#since = now;
  }

  /** `at`: when it ended. What ended before the window is left out. */
  add(appId: string, at: Instant, request: Counted): void {
    const number = Math.floor(at / SLOT_MS);
    if (number > this.#newest) {
      this.#newest = number;
      this.#forgetSilent();
    }
    let dynos = this.#apps.get(appId);
    if (dynos === undefined) this.#apps.set(appId, (dynos = new Map()));
    const key = request.dynoId ?? "";
    let series = dynos.get(key);
    if (series === undefined) {
      if (this.#size >= SERIES_MAX) this.#forgetOne();
      // That may have been the app's last.
      this.#apps.set(appId, dynos);
      dynos.set(key, (series = new Series()));
      this.#size++;
    }
    series.add(number, request);
  }

  requestsOf(appId: string, now: Instant): WindowCounts {
    const last = Math.floor(now / SLOT_MS);
    const first = last - SLOTS + 1;
    const from = Math.max(first * SLOT_MS, this.#since);
    const seconds = Math.max(1, (now - from) / 1000);
    const all = new Sum();
    const byDyno = new Map<string, RequestCounts>();
    for (const [dynoId, series] of this.#apps.get(appId) ?? []) {
      const own = new Sum();
      for (const slot of series.within(first, last)) own.add(slot);
      if (own.requests === 0) continue;
      all.add(own);
      if (dynoId !== "") byDyno.set(dynoId, own.counts(seconds));
    }
    return { ...all.counts(seconds), windowSeconds: seconds, byDyno };
  }

  /** The apps that had requests lately. */
  apps(): readonly string[] {
    return [...this.#apps.keys()];
  }

  /** How many dynos are counted. */
  get size(): number {
    return this.#size;
  }

  /** Those that had no request within the window. */
  #forgetSilent(): void {
    for (const [appId, dynos] of this.#apps) {
      for (const [key, { latest }] of dynos) if (latest <= this.#newest - SLOTS) this.#forget(appId, dynos, key);
    }
  }

  /** Of the app that has been counted longest, which is seldom the one that has been silent longest, but found at once. */
  #forgetOne(): void {
    for (const [appId, dynos] of this.#apps) {
      for (const key of dynos.keys()) return this.#forget(appId, dynos, key);
    }
  }

  #forget(appId: string, dynos: Map<string, Series>, key: string): void {
    dynos.delete(key);
    this.#size--;
    if (dynos.size === 0) this.#apps.delete(appId);
  }
}

/** The slots of one dyno, each used again after the window. */
class Series {
  readonly #slots: (Slot | undefined)[] = [];
  latest = 0;

  add(number: number, request: Counted): void {
    const index = number % SLOTS;
    let slot = this.#slots[index];
    if (slot === undefined) this.#slots[index] = slot = new Slot(number);
    else if (slot.number > number)
      return; // long ago
    else if (slot.number < number) slot.restart(number);
    if (number > this.latest) this.latest = number;
    slot.count(request);
  }

  *within(first: number, last: number): Generator<Slot> {
    for (const slot of this.#slots) if (slot !== undefined && slot.number >= first && slot.number <= last) yield slot;
  }
}

/** Counts that can be added. */
class Sum {
  requests = 0;
  held = 0;
  retries = 0;
  /** By the first digit; 0 for everything else. */
  readonly statuses = [0, 0, 0, 0, 0, 0];
  /** undefined: none had one. */
  codes: Map<string, number> | undefined;
  readonly service = new Histogram();

  add(other: Sum): void {
    this.requests += other.requests;
    this.held += other.held;
    this.retries += other.retries;
    for (const [index, count] of other.statuses.entries()) this.statuses[index] = (this.statuses[index] ?? 0) + count;
    for (const [code, count] of other.codes ?? []) this.countCode(code, count);
    this.service.addAll(other.service);
  }

  countCode(code: string, count: number): void {
    this.codes ??= new Map();
    this.codes.set(code, (this.codes.get(code) ?? 0) + count);
  }

  counts(seconds: number): RequestCounts {
    const [other = 0, one = 0, two = 0, three = 0, four = 0, five = 0] = this.statuses;
    const of = (share: number) => this.service.percentile(share) ?? 0;
    const { max, count } = this.service;
    return {
      requests: this.requests,
      perSecond: this.requests / seconds,
      statuses: { "1xx": one, "2xx": two, "3xx": three, "4xx": four, "5xx": five, other },
      service: count === 0 ? null : { p50: of(0.5), p95: of(0.95), p99: of(0.99), max },
      held: this.held,
      retries: this.retries,
      codes: Object.fromEntries([...(this.codes ?? [])].toSorted(([a], [b]) => (a < b ? -1 : 1))),
    };
  }
}

class Slot extends Sum {
  number: number;

  constructor(number: number) {
    super();
    this.number = number;
  }

  restart(number: number): void {
    this.number = number;
    this.requests = this.held = this.retries = 0;
    this.statuses.fill(0);
    this.codes = undefined;
    this.service.clear();
  }

  count({ code, status, serviceMs, isHeld, retries }: Counted): void {
    this.requests++;
    const seen = code === undefined ? status : code.status;
    const digit = seen >= 100 && seen < 600 && code?.status !== 499 ? Math.floor(seen / 100) : 0;
    this.statuses[digit] = (this.statuses[digit] ?? 0) + 1;
    if (isHeld) this.held++;
    this.retries += retries;
    if (code !== undefined) this.countCode(code.code, 1);
    // An upgraded connection lives as long as both sides like.
    if (serviceMs !== null && status !== 101) this.service.add(serviceMs);
  }
}
