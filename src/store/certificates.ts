import type { Instant } from "../lib/clock.ts";
import type { AcmeAccount, AcmState } from "../model/acm.ts";
import type { Domain } from "../model/app.ts";
import type { SniEndpoint } from "../model/certificate.ts";

/** A chain and its key, as `checkPair` made them. */
export interface StoredPair {
  readonly chain: string;
  readonly key: string;
  readonly given?: string | null;
}

/** Certificates of apps, and how the orders of the platform's own ones stand. Keys are encrypted at rest. */
export interface CertificateStore {
  /** Of an app, by name. */
  list(appId: string): Promise<readonly SniEndpoint[]>;
  listAll(): Promise<readonly SniEndpoint[]>;
  /** The endpoint's private key, PEM (PKCS #8). */
  key(id: string): Promise<string>;
  create(endpoint: StoredPair & { readonly appId: string; readonly isAutomatic: boolean }): Promise<SniEndpoint>;
  update(id: string, pair: StoredPair & { readonly isAutomatic: boolean }): Promise<SniEndpoint>;
  /** Its domains are bound to none then. */
  remove(id: string): Promise<void>;
  /** Which certificate a domain is shown with; null: the installation's own. */
  bind(domainId: string, endpointId: string | null): Promise<void>;

  isAutomatic(appId: string): Promise<boolean>;
  /** The domains of all apps whose certificates the platform gets. */
  automaticDomains(): Promise<readonly Domain[]>;
  /** Off: certificates that the platform got go, and what is known of orders. */
  setAutomatic(appId: string, isOn: boolean): Promise<void>;

  states(): Promise<readonly AcmState[]>;
  setState(state: Omit<AcmState, "updatedAt">): Promise<void>;
  clearState(domainId: string): Promise<void>;
  /** The key for the certificate that is being ordered; undefined: none yet. It goes with the state. */
  orderKey(domainId: string): Promise<string | undefined>;
  setOrderKey(domainId: string, key: string): Promise<void>;

  account(directory: string): Promise<AcmeAccount | undefined>;
  setAccount(directory: string, account: AcmeAccount): Promise<void>;
  pause(directory: string, until: Instant): Promise<void>;
}
