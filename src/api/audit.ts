import type { FastifyRequest } from "fastify";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { kindOf, type NewAuditEvent } from "../model/audit.ts";
import type { Store } from "../store/store.ts";
import type { Caller } from "./auth.ts";

export interface AuditOptions {
  readonly store: Pick<Store, "audit" | "audited">;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long an entry is kept. */
  readonly keepMs: number;
}

type Who = Partial<Pick<Caller, "user" | "token" | "access">>;

const FLUSH_MS = 1000;
const PRUNE_MS = 3_600_000;
/** What waits to be written; then callers wait for it. */
const WAITING_MAX = 500;
const TEXT_MAX = 300;
const FIELDS_MAX = 100;

/**
 * The audit log as the API writes it. The entry of a change is in the change's own transaction; those of reads and refusals are gathered,
 * and written together within a second: a daemon that is killed loses those at most.
 */
export class Audit implements AsyncDisposable {
  readonly #options: AuditOptions;
  readonly #stop = new AbortController();
  readonly #pruning: Promise<void>;
  #waiting: NewAuditEvent[] = [];
  #flushing: Promise<void> = Promise.resolve();
  #isTimed = false;

  constructor(options: AuditOptions) {
    this.#options = options;
    this.#pruning = this.#prune();
  }

  /** What a call is, for the log. `route`: `PATCH /apps/:app`. */
  eventOf(request: FastifyRequest, route: string, who: Who, data: Readonly<Record<string, unknown>>): NewAuditEvent {
    const { user, token, access } = who;
    const agent = request.headers["user-agent"];
    return {
      at: this.#options.clock.now(),
      actor: user ? { id: user.id, email: user.email } : null,
      tokenId: token?.id ?? null,
      app: access ? { id: access.app.id, name: access.app.name } : null,
      ...kindOf(route),
      outcome: "done",
      method: request.method,
      path: withoutUrls(request.url.split("?", 1)[0] ?? "").slice(0, TEXT_MAX),
      address: request.socket.remoteAddress ?? null,
      agent: agent === undefined ? null : agent.slice(0, TEXT_MAX),
      requestId: request.id,
      data,
    };
  }

  /** Makes a change, and tells of it in the same transaction: of what `events` gives at its end. */
  change<T>(events: () => readonly NewAuditEvent[], body: () => Promise<T>): Promise<T> {
    return this.#options.store.audited(events, body);
  }

  /** Tells of what changed nothing, soon. */
  async note(...events: readonly NewAuditEvent[]): Promise<void> {
    this.#waiting.push(...events);
    if (this.#waiting.length >= WAITING_MAX) return this.flush();
    if (this.#isTimed) return;
    this.#isTimed = true;
    this.#options.clock.sleep(FLUSH_MS, this.#stop.signal).then(
      () => {
        this.#isTimed = false;
        return this.flush();
      },
      () => {}, // it is being disposed of, and flushes then
    );
  }

  /** Everything that was told before is written. */
  flush(): Promise<void> {
    this.#flushing = this.#flushing.then(async () => {
      const events = this.#waiting;
      this.#waiting = [];
      if (events.length === 0) return;
      await this.#options.store.audit.add(events).catch((error: unknown) => {
        this.#options.logger.error("audit.lost", { count: events.length, error });
      });
    });
    return this.#flushing;
  }

  async #prune(): Promise<void> {
    const { store, clock, logger, keepMs } = this.#options;
    while (!this.#stop.signal.aborted) {
      try {
        while ((await store.audit.prune(clock.now() - keepMs)) > 0 && !this.#stop.signal.aborted);
      } catch (error) {
        logger.error("audit.not_pruned", { error });
      }
      await clock.sleep(PRUNE_MS, this.#stop.signal).catch(() => {}); // the loop sees the signal
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#pruning;
    await this.flush();
  }
}

/** The names of what a body sets; of the values only switches and numbers, which are no secrets. */
export function fieldsOf(body: unknown): Readonly<Record<string, unknown>> {
  if (typeof body !== "object" || body === null || Array.isArray(body)) return {};
  const fields = Object.entries(body)
    .slice(0, FIELDS_MAX)
    .map(([name, value]): [string, unknown] => [name.slice(0, TEXT_MAX), value]);
  if (fields.length === 0) return {};
  const plain = fields.filter(([, value]) => typeof value === "boolean" || typeof value === "number");
  return { ...Object.fromEntries(plain), fields: fields.map(([name]) => name) };
}

/** A drain may be named by its whole URL, and that may hold a password. */
function withoutUrls(path: string): string {
  return path.replace(/(\/log-drains\/)[^/]*%3a[^/]*/i, "$1(url)");
}
