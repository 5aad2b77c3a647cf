import type { Clock, Instant } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { Nudge } from "../lib/nudge.ts";
import type { LogSink } from "../logs/line.ts";
import type { AcmeSettings } from "../model/acm.ts";
import { factsOf, type SniEndpoint } from "../model/certificate.ts";
import type { CertificateTarget } from "../router/routes.ts";
import type { Store } from "../store/store.ts";
import { type Authority, openAuthority } from "./acme-authority.ts";
import { type ManagedDomain, managedDomains, plan, REFRESH_MS } from "./acme-plan.ts";
import { type OrdersOptions, obtain } from "./orders.ts";
import { Teller, type TellerOptions } from "./teller.ts";

/** What the API asks of certificates. */
export interface Certificates {
  /** Why the router could not show this chain with its key (`checkPair`); null: it can. */
  refusal(pem: string): Promise<string | null>;
  /** Resolves once new connections get what the store says; after 5 s at the latest. */
  settle(appId: string): Promise<void>;
  /** Why this installation gets no certificates by itself; null: it does. */
  readonly acmRefusal: string | null;
  /** Tries again now what failed, a minute after the last try at the earliest. */
  refresh(appId: string): Promise<void>;
}

export interface CertificatesOptions {
  readonly store: Store;
  readonly target: TellerOptions["target"] & CertificateTarget;
  /** Undefined: nobody said that an authority's terms are agreed to. */
  readonly acme: AcmeSettings | undefined;
  readonly logs: LogSink;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Tests: another authority. */
  readonly openAuthority?: typeof openAuthority;
}

/** Orders at once: an authority may take its time for each. */
const ORDERS_MAX = 4;
const LOOK_MS = 3_600_000;
/** Between two looks, however much happens. */
const PAUSE_MS = 300;
const RETRY_MS = 30_000;
const NOT_SET_UP =
  "This platform gets no certificates by itself yet. Its operator agrees to an authority's terms with STATOR_ACME_TERMS=agreed (docs/settings.md); until then upload a certificate with certs:add.";

/** Shows the store's certificates, and gets and renews those of apps with ACM. */
export function startCertificates(options: CertificatesOptions): Certificates & AsyncDisposable {
  const teller = new Teller(options);
  const keeper = options.acme === undefined ? undefined : new AcmeKeeper(options, options.acme);
  const { store, target, clock } = options;
  return {
    refusal: (pem) => target.certificateRefusal(pem),
    settle: (appId) => teller.settle(appId),
    acmRefusal: keeper === undefined ? NOT_SET_UP : null,
    refresh: async (appId) => {
      const mine = new Set((await store.domains.list(appId)).map(({ id }) => id));
      for (const { updatedAt, ...state } of await store.certificates.states()) {
        if (!mine.has(state.domainId) || state.nextAt <= clock.now()) continue;
        await store.certificates.setState({ ...state, nextAt: Math.max(clock.now(), updatedAt + REFRESH_MS) });
      }
      keeper?.nudge();
    },
    async [Symbol.asyncDispose]() {
      await keeper?.[Symbol.asyncDispose]();
      await teller[Symbol.asyncDispose]();
    },
  };
}

/** The loop of ACM: looks which certificates are due, and has a few orders under way at once. */
class AcmeKeeper implements AsyncDisposable {
  readonly #options: CertificatesOptions;
  readonly #settings: AcmeSettings;
  readonly #closed = new AbortController();
  readonly #nudge = new Nudge();
  readonly #listening: Disposable;
  readonly #orders = new Map<string, Promise<void>>();
  #authority: Promise<Authority> | undefined;
  /** Those with ACM, as of the last look; one that gets it says so by `nudge`. */
  #apps: ReadonlySet<string> = new Set();
  readonly #facts = new Map<string, ReturnType<typeof factsOf>>();
  readonly #loop: Promise<void>;

  constructor(options: CertificatesOptions, settings: AcmeSettings) {
    this.#options = options;
    this.#settings = settings;
    this.#listening = options.store.onChange((appId) => {
      if (this.#apps.has(appId)) this.#nudge.ring();
    });
    this.#loop = this.#follow();
  }

  nudge(): void {
    this.#nudge.ring();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listening[Symbol.dispose]();
    this.#closed.abort();
    await this.#loop;
    await Promise.all(this.#orders.values());
  }

  async #follow(): Promise<void> {
    const { clock, logger } = this.#options;
    const closed = this.#closed.signal;
    while (!closed.aborted) {
      let nextAt: Instant | null = null;
      try {
        nextAt = await this.#look();
      } catch (error) {
        if (closed.aborted) return;
        logger.warn("acme.look_failed", { error });
        nextAt = clock.now() + RETRY_MS;
      }
      await clock.sleep(PAUSE_MS, closed).catch(() => {}); // closed
      const wait = Math.min(LOOK_MS, (nextAt ?? Number.POSITIVE_INFINITY) - clock.now());
      await this.#nudge.wait(Math.max(0, wait), closed, clock);
    }
  }

  /** Begins what is due; gives when to look again. */
  async #look(): Promise<Instant | null> {
    const { store, clock } = this.#options;
    const domains = await this.#managed();
    const pausedUntil = (await store.certificates.account(this.#settings.directory))?.pausedUntil ?? null;
    const busy = new Set(this.#orders.keys());
    const { due, nextAt } = plan({ domains, now: clock.now(), pausedUntil, busy, max: ORDERS_MAX });
    for (const domain of due) this.#begin(domain);
    if (this.#orders.size === 0) await this.#clearChallenges(domains);
    return nextAt;
  }

  async #managed(): Promise<readonly ManagedDomain[]> {
    const { certificates } = this.#options.store;
    const domains = await certificates.automaticDomains();
    const endpoints = await certificates.listAll();
    this.#apps = new Set(domains.map(({ appId }) => appId));
    const used = new Set(domains.map(({ sniEndpointId }) => sniEndpointId));
    for (const { id, appId, isAutomatic } of endpoints) {
      // Its domain went, or has another one.
      if (isAutomatic && this.#apps.has(appId) && !used.has(id)) await certificates.remove(id);
    }
    const known = endpoints.map((each) => ({ ...each, facts: this.#factsOf(each) }));
    return managedDomains(domains, known, await certificates.states());
  }

  /** Each chain is read once. */
  #factsOf({ chain }: SniEndpoint): ReturnType<typeof factsOf> {
    const known = this.#facts.get(chain) ?? factsOf(chain);
    if (this.#facts.size > 10_000) this.#facts.clear();
    this.#facts.set(chain, known);
    return known;
  }

  #begin(domain: ManagedDomain): void {
    const { store, target, logs, clock, logger } = this.#options;
    const options: OrdersOptions = {
      store,
      target,
      directory: this.#settings.directory,
      authority: () => this.#open(),
      logs,
      clock,
      logger,
    };
    const work = obtain(domain, options, this.#closed.signal)
      .then((isGood) => {
        if (!isGood) this.#authority = undefined; // the account may be gone
      })
      .catch((error: unknown) => {
        if (!this.#closed.signal.aborted) logger.warn("acme.order_failed", { hostname: domain.hostname, error });
      })
      .finally(() => {
        this.#orders.delete(domain.domainId);
        this.#nudge.ring();
      });
    this.#orders.set(domain.domainId, work);
  }

  /** One account for all orders, made once. */
  #open(): Promise<Authority> {
    const { store, clock, openAuthority: open = openAuthority } = this.#options;
    this.#authority ??= open({ settings: this.#settings, store, clock, signal: this.#closed.signal }).catch(
      (error: unknown) => {
        this.#authority = undefined;
        throw error;
      },
    );
    return this.#authority;
  }

  /** Answers that no order needs any more: we were killed before we could take them away. */
  async #clearChallenges(domains: readonly ManagedDomain[]): Promise<void> {
    const { target } = this.#options;
    const needed = new Set(
      domains.filter(({ state }) => (state?.orderUrl ?? null) !== null).map((each) => each.hostname),
    );
    for (const host of await target.listChallenges()) if (!needed.has(host)) await target.removeChallenge(host);
  }
}
