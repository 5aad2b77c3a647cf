import { createHmac } from "node:crypto";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { Nudge } from "../lib/nudge.ts";
import type { Random } from "../lib/random.ts";
import { parseWebUrl } from "../model/drain-url.ts";
import { WEBHOOK_EVENTS_KEPT_MS } from "../model/webhook.ts";
import { Poster } from "../outbound/http.ts";
import type { Outbound } from "../outbound/outbound.ts";
import type { DeliveryAttempt, Store, Webhook, WebhookDelivery, WebhookEvent } from "../store/store.ts";
import { type Addresses, eventsOf } from "./payload.ts";
import { nextAttemptAt } from "./retries.ts";

export interface WebhooksOptions {
  readonly store: Store;
  readonly outbound: Outbound;
  readonly addresses: Addresses;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** Changes that become events in one transaction. */
const PUBLISHED_AT_ONCE = 50;
/** From the request's first byte to the answer's last one; connecting has a limit of its own. */
const ANSWER_MS = 10_000;
const LOOK_MS = 60_000;
const SWEEP_MS = 3600 * 1000;

/**
 * Tells webhooks what changed. What is to be told is in the store before anybody is told, so a daemon that was killed goes on
 * where it was: at least once. Each webhook is told one thing after the other, and waits for no other webhook.
 */
export function startWebhooks(options: WebhooksOptions): AsyncDisposable {
  return new Webhooks(options);
}

class Webhooks implements AsyncDisposable {
  readonly #options: WebhooksOptions;
  readonly #nudge = new Nudge();
  readonly #stop = new AbortController();
  readonly #working = new Map<string, Promise<void>>();
  readonly #listener: Disposable;
  readonly #loop: Promise<void>;
  #sweptAt = -Infinity;

  constructor(options: WebhooksOptions) {
    this.#options = options;
    const { store } = options;
    this.#listener = store.onChange(() => {
      if (store.webhooks.areUsed()) this.#nudge.ring();
    });
    this.#loop = this.#run();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener[Symbol.dispose]();
    this.#stop.abort();
    await this.#loop;
    await Promise.all(this.#working.values());
  }

  async #run(): Promise<void> {
    const { clock, logger, store } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      let waitMs = LOOK_MS;
      try {
        if (store.webhooks.areUsed()) {
          await this.#publish();
          waitMs = await this.#begin();
          await this.#sweep();
        }
      } catch (error) {
        logger.error("webhooks.failed", { error });
      }
      await this.#nudge.wait(waitMs, signal, clock);
    }
  }

  async #publish(): Promise<void> {
    const { store, addresses } = this.#options;
    for (let count = PUBLISHED_AT_ONCE; count === PUBLISHED_AT_ONCE && !this.#stop.signal.aborted; ) {
      if ((await store.webhooks.noted(1)).length === 0) return; // most looks find nothing: no transaction for that
      count = await store.transaction(async (inside) => {
        const changes = await inside.webhooks.noted(PUBLISHED_AT_ONCE);
        for (const change of changes) await inside.webhooks.publish(change, await eventsOf(change, inside, addresses));
        return changes.length;
      });
    }
  }

  /** Sets to work what is due; gives how long until the next is. */
  async #begin(): Promise<number> {
    const { store, clock, logger } = this.#options;
    const now = clock.now();
    let soonest = LOOK_MS;
    for (const [webhookId, at] of await store.webhooks.due()) {
      if (this.#working.has(webhookId)) continue; // it rings when it has nothing left that is due
      if (at > now) {
        soonest = Math.min(soonest, at - now);
        continue;
      }
      const work = this.#tell(webhookId)
        .then(
          () => this.#nudge.ring(),
          (error: unknown) => logger.error("webhook.failed", { webhookId, error }), // at the next look
        )
        .finally(() => this.#working.delete(webhookId));
      this.#working.set(webhookId, work);
    }
    return soonest;
  }

  /** All that is due to one webhook. */
  async #tell(webhookId: string): Promise<void> {
    const { store, clock, outbound } = this.#options;
    const webhook = await store.webhooks.byId(webhookId);
    if (webhook === undefined) return;
    using poster = new Poster(outbound, clock, { ...parseWebUrl(webhook.url), appId: webhook.appId });
    while (!this.#stop.signal.aborted) {
      const delivery = await store.webhooks.next(webhookId);
      if (delivery === undefined || (delivery.nextAttemptAt ?? 0) > clock.now()) return;
      const [now, event] = await Promise.all([store.webhooks.byId(webhookId), store.webhooks.event(delivery.event.id)]);
      if (now?.updatedAt !== webhook.updatedAt || event === undefined) return; // changed meanwhile: begun anew
      await this.#attempt(webhook, delivery, event, poster);
    }
  }

  async #attempt(webhook: Webhook, delivery: WebhookDelivery, event: WebhookEvent, poster: Poster): Promise<void> {
    const { store, clock, random } = this.#options;
    const result = await this.#post(webhook, delivery, event, poster);
    if (this.#stop.signal.aborted) return; // whoever comes next tries again
    const now = clock.now();
    const attempts = delivery.attempts + 1;
    const next = result.status === "succeeded" ? null : nextAttemptAt({ ...delivery, attempts }, now, random);
    const failed = next === null ? "failed" : "retrying";
    await store.webhooks.attempted(
      delivery.id,
      { ...result, at: now },
      { status: result.status === "succeeded" ? "succeeded" : failed, nextAttemptAt: next },
    );
  }

  async #post(
    webhook: Webhook,
    delivery: WebhookDelivery,
    event: WebhookEvent,
    poster: Poster,
  ): Promise<Pick<DeliveryAttempt, "code" | "errorClass" | "status">> {
    const body = Buffer.from(JSON.stringify(bodyOf(webhook, delivery, event, this.#options.random.uuid())));
    const headers = {
      "Content-Type": "application/json",
      "User-Agent": "Heroku-Webhooks Stator",
      "Heroku-Webhook-Hmac-SHA256": createHmac("sha256", webhook.secret).update(body).digest("base64"),
      ...(webhook.authorization !== null && { Authorization: webhook.authorization }),
    };
    try {
      const code = await poster.post({ headers, body, answerMs: ANSWER_MS, signal: this.#stop.signal });
      const isTaken = code >= 200 && code < 300;
      return { code, errorClass: isTaken ? null : "BadStatus", status: isTaken ? "succeeded" : "failed" };
    } catch (error) {
      return { code: null, errorClass: classOf(error), status: "failed" };
    }
  }

  async #sweep(): Promise<void> {
    const { store, clock } = this.#options;
    const now = clock.now();
    if (now - this.#sweptAt < SWEEP_MS) return;
    this.#sweptAt = now;
    await store.webhooks.sweep(now - WEBHOOK_EVENTS_KEPT_MS);
  }
}

function bodyOf(webhook: Webhook, delivery: WebhookDelivery, event: WebhookEvent, attemptId: string) {
  const at = new Date(event.createdAt).toISOString();
  return {
    ...event.payload,
    created_at: at,
    id: event.id,
    updated_at: at,
    webhook_metadata: {
      attempt: { id: attemptId },
      delivery: { id: delivery.id },
      event: { id: event.id, include: event.include },
      webhook: { id: webhook.id },
    },
  };
}

/** `ECONNREFUSED`, `Refused`, `Late`, ...: one word. */
function classOf(error: unknown): string {
  if (!(error instanceof Error)) return "Error";
  const { code } = error as NodeJS.ErrnoException;
  return typeof code === "string" ? code : error.name;
}
