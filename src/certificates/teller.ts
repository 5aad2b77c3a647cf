import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { Nudge } from "../lib/nudge.ts";
import { type CertificateTarget, digestOf, type RouteCertificate } from "../router/routes.ts";
import type { Store } from "../store/store.ts";

export interface TellerOptions {
  readonly store: Pick<Store, "certificates" | "domains" | "onChange">;
  readonly target: CertificateTarget & { onReturn?(listener: () => void): Disposable };
  readonly clock: Clock;
  readonly logger: Logger;
}

const RESYNC_MS = 60_000;
const RETRY_MS = 2_000;
const SETTLE_MS = 5_000;
const UNKNOWN = "unknown";

/** Keeps the router's certificates equal to the store's: told when an app changes, and all looked over every minute. */
export class Teller implements AsyncDisposable {
  readonly #options: TellerOptions;
  readonly #closed = new AbortController();
  readonly #nudge = new Nudge();
  readonly #listeners = new DisposableStack();
  readonly #changed = new Set<string>();
  readonly #waiters = new Map<string, Set<() => void>>();
  /** What of each app was told: cheap to compare, since no key is opened for it. */
  readonly #versions = new Map<string, string>();
  #isAllDue = true;
  readonly #loop: Promise<void>;

  constructor(options: TellerOptions) {
    this.#options = options;
    this.#listeners.use(options.store.onChange((appId) => this.#change(appId)));
    const returns = options.target.onReturn?.(() => {
      this.#isAllDue = true;
      this.#nudge.ring();
    });
    if (returns !== undefined) this.#listeners.use(returns);
    this.#loop = this.#follow();
  }

  /** Resolves once the router has what the store says of the app; after 5 s at the latest, and it is told later then. */
  async settle(appId: string): Promise<void> {
    const done = new AbortController();
    const resolve = (): void => done.abort();
    const waiters = this.#waiters.get(appId) ?? new Set();
    this.#waiters.set(appId, waiters.add(resolve));
    this.#change(appId);
    const signal = AbortSignal.any([done.signal, this.#closed.signal]);
    await this.#options.clock.sleep(SETTLE_MS, signal).catch(() => {}); // done
    waiters.delete(resolve);
    if (!done.signal.aborted) this.#options.logger.warn("certificates.untold", { appId });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listeners.dispose();
    this.#closed.abort();
    await this.#loop;
  }

  #change(appId: string): void {
    this.#changed.add(appId);
    this.#nudge.ring();
  }

  async #follow(): Promise<void> {
    const { clock, logger } = this.#options;
    const closed = this.#closed.signal;
    let resyncAt = clock.now();
    while (!closed.aborted) {
      try {
        if (this.#isAllDue || clock.now() >= resyncAt) {
          this.#isAllDue = false;
          resyncAt = clock.now() + RESYNC_MS;
          await this.#lookOverAll();
        }
        await this.#tellChanged();
        await this.#nudge.wait(Math.max(0, resyncAt - clock.now()), closed, clock);
      } catch (error) {
        if (closed.aborted) return;
        this.#isAllDue = true;
        logger.warn("certificates.tell_failed", { error });
        await clock.sleep(RETRY_MS, closed).catch(() => {}); // closed
      }
    }
  }

  /** What the router has not, or has of an app that has none any more. */
  async #lookOverAll(): Promise<void> {
    const { store, target } = this.#options;
    const known = new Map((await target.listCertificates()).map(({ appId, digest }) => [appId, digest]));
    const apps = new Set([...known.keys(), ...(await store.certificates.listAll()).map(({ appId }) => appId)]);
    for (const appId of apps) {
      const isSame = known.get(appId) === digestOf(await this.#certificatesOf(appId));
      if (isSame) continue;
      this.#versions.set(appId, UNKNOWN);
      this.#changed.add(appId);
    }
  }

  async #tellChanged(): Promise<void> {
    const { target, logger } = this.#options;
    for (const appId of this.#changed) {
      this.#changed.delete(appId);
      const waiters = [...(this.#waiters.get(appId) ?? [])];
      try {
        const version = await this.#versionOf(appId);
        if (version !== (this.#versions.get(appId) ?? "")) {
          await target.setCertificates(appId, await this.#certificatesOf(appId));
          this.#versions.set(appId, version);
        }
        for (const resolve of waiters) resolve();
      } catch (error) {
        if (!isRefusal(error)) {
          this.#changed.add(appId);
          throw error;
        }
        logger.error("certificates.refused", { appId, error }); // the next look over all tries again
      }
    }
  }

  /** Of an app without certificates: empty. */
  async #versionOf(appId: string): Promise<string> {
    const { store } = this.#options;
    const endpoints = await store.certificates.list(appId);
    if (endpoints.length === 0) return "";
    const bound = (await store.domains.list(appId)).flatMap(({ hostname, sniEndpointId }) => {
      const endpoint = endpoints.find(({ id }) => id === sniEndpointId);
      return endpoint === undefined ? [] : [[hostname, endpoint.id, endpoint.chain] as const];
    });
    return bound.length === 0 ? "" : JSON.stringify(bound);
  }

  async #certificatesOf(appId: string): Promise<readonly RouteCertificate[]> {
    const { store } = this.#options;
    const domains = await store.domains.list(appId);
    const certificates: RouteCertificate[] = [];
    for (const { id, chain } of await store.certificates.list(appId)) {
      const hosts = domains.filter(({ sniEndpointId }) => sniEndpointId === id).map(({ hostname }) => hostname);
      if (hosts.length > 0)
        certificates.push({ hosts: hosts.toSorted(), pem: chain + (await store.certificates.key(id)) });
    }
    return certificates;
  }
}

/** An `EngineError("invalid")`, by whatever way it came. */
function isRefusal(error: unknown): boolean {
  return error instanceof Error && "id" in error && error.id === "invalid";
}
