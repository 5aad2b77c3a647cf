import type { Instant } from "../lib/clock.ts";

/** How the platform's own certificate of a domain stands (spec 7.9), in the words that the official CLI looks for. */
export type AcmStatus =
  /** An order is under way. */
  | "in-progress"
  /** The authority has seen that the name leads here. */
  | "verified"
  | "cert issued"
  /** The last try failed, and there will be more soon. */
  | "failing"
  /** Several did; tried again twice a day. */
  | "failed";

/** What must be remembered of a domain's orders, over restarts. */
export interface AcmState {
  readonly domainId: string;
  /** Of this name; another one begins anew. */
  readonly hostname: string;
  readonly status: AcmStatus;
  /** A sentence, with `failing` and `failed`. */
  readonly reason: string | null;
  /** In a row. */
  readonly failures: number;
  /** Not before. */
  readonly nextAt: Instant;
  /** The order under way, at the authority. */
  readonly orderUrl: string | null;
  readonly updatedAt: Instant;
}

/** The installation's account with an ACME authority. */
export interface AcmeAccount {
  /** PEM. Made and stored before the account is asked for, so that an answer that was lost makes no second one. */
  readonly key: string;
  readonly url: string | null;
  /** The authority asked to be left alone until then. */
  readonly pausedUntil: Instant | null;
}

/** Of an installation: who gives certificates, and to whom. */
export interface AcmeSettings {
  readonly directory: string;
  readonly email: string | null;
  /** PEM file with the CA of the directory's own TLS, for an authority of one's own. */
  readonly caFile: string | null;
}

const PRIVATE = new Set(["localhost", "local", "internal", "test", "invalid", "lan", "home", "arpa", "onion"]);

/** Why no authority can give a certificate for this name by HTTP (RFC 8555, 8.3); null: one can. */
export function unfitReason(hostname: string): string | null {
  const labels = hostname.split(".");
  if (hostname.startsWith("*."))
    return `No authority gives a certificate for ${hostname} by HTTP: add each name by itself, or upload a certificate with certs:add.`;
  if (labels.length < 2 || PRIVATE.has(labels.at(-1) ?? ""))
    return `${hostname} is no name of the public internet: upload a certificate with certs:add.`;
  return null;
}

interface ShownDomain {
  readonly hostname: string;
  /** Below the platform's own domain. */
  readonly isOwn: boolean;
  /** The platform gets its certificate. */
  readonly isAutomatic: boolean;
  readonly state: AcmState | undefined;
}

/** How the platform's own certificate of a domain stands, as clients are told; null: nothing was tried yet, or it is not ours to get. */
export function acmShown({ hostname, isOwn, isAutomatic, state }: ShownDomain) {
  const unfit = isAutomatic ? unfitReason(hostname) : null;
  if (unfit !== null && !isOwn) return { acm_status: "failed", acm_status_reason: unfit };
  if (unfit !== null || !isAutomatic) return { acm_status: null, acm_status_reason: null };
  return { acm_status: state?.status ?? null, acm_status_reason: state?.reason ?? null };
}
