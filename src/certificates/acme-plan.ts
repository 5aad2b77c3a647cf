import { createHash } from "node:crypto";
import type { Instant } from "../lib/clock.ts";
import { type AcmState, unfitReason } from "../model/acm.ts";
import type { Domain } from "../model/app.ts";
import { type CertificateFacts, covers } from "../model/certificate.ts";

/** A domain whose certificate the platform gets and renews. */
export interface ManagedDomain {
  readonly domainId: string;
  readonly appId: string;
  readonly hostname: string;
  /** What it is shown with now; null: nothing of its own yet. */
  readonly current: Pick<CertificateFacts, "startsAt" | "expiresAt"> | null;
  readonly state: AcmState | undefined;
}

/** An endpoint with what its certificate says. */
export interface KnownEndpoint {
  readonly id: string;
  readonly isAutomatic: boolean;
  readonly facts: Pick<CertificateFacts, "names" | "startsAt" | "expiresAt">;
}

/** Renewed when two thirds of its life are over, or up to a thirtieth of it sooner, so that not all come at once. */
const RENEW_AT = 2 / 3;
const SPREAD = 1 / 30;
/** Waits after failures: 5, 10, 20 ... minutes, at most 12 hours. Let's Encrypt allows five failures an hour for a name. */
const RETRY_MS = 5 * 60_000;
const RETRY_MS_MAX = 12 * 3_600_000;
/** From so many failures in a row on it is "failed", no more "failing". */
export const FAILED_AFTER = 4;
/** Somebody who asks for another try gets it so long after the last one. */
export const REFRESH_MS = 60_000;

/** The domains of an app with ACM that are the platform's to look after: those with a certificate of the user's own are not. Pure. */
export function managedDomains(
  domains: readonly Domain[],
  endpoints: readonly KnownEndpoint[],
  states: readonly AcmState[],
): readonly ManagedDomain[] {
  return domains.flatMap(({ id, appId, hostname, sniEndpointId }) => {
    const endpoint = endpoints.find((each) => each.id === sniEndpointId);
    if (unfitReason(hostname) !== null || endpoint?.isAutomatic === false) return [];
    const isGood = endpoint !== undefined && covers(endpoint.facts.names, hostname);
    const state = states.find((each) => each.domainId === id && each.hostname === hostname);
    return [{ domainId: id, appId, hostname, current: isGood ? endpoint.facts : null, state }];
  });
}

/** When an order for it should be begun, or gone on with. Pure: the same at every look, over restarts too. */
export function dueAt({ domainId, current, state }: ManagedDomain): Instant {
  const earliest = state?.nextAt ?? 0;
  if (current === null || (state?.orderUrl ?? null) !== null) return earliest;
  const life = current.expiresAt - current.startsAt;
  const early = chance(`${domainId} ${current.startsAt}`) * SPREAD;
  return Math.max(earliest, Math.ceil(current.startsAt + life * (RENEW_AT - early)));
}

/** The first `max` of what is due, longest due first, and when to look again; null: only when something changes. Pure. */
export function plan(situation: {
  readonly domains: readonly ManagedDomain[];
  readonly now: Instant;
  /** The authority asked to be left alone until then. */
  readonly pausedUntil: Instant | null;
  /** Ids of the domains that are worked on. */
  readonly busy: ReadonlySet<string>;
  readonly max: number;
}): { readonly due: readonly ManagedDomain[]; readonly nextAt: Instant | null } {
  const { domains, now, pausedUntil, busy, max } = situation;
  const paused = pausedUntil ?? 0;
  const waiting = domains
    .filter(({ domainId }) => !busy.has(domainId))
    .map((domain) => ({ domain, at: Math.max(dueAt(domain), paused) }))
    .toSorted((a, b) => a.at - b.at || (a.domain.domainId < b.domain.domainId ? -1 : 1));
  const due = waiting.filter(({ at }) => at <= now).slice(0, Math.max(0, max - busy.size));
  const next = waiting.find(({ at }) => at > now);
  return { due: due.map(({ domain }) => domain), nextAt: next?.at ?? null };
}

/** How long to wait after so many failures in a row; up to a fifth longer, by chance. Pure. */
export function retryMs(failures: number, domainId: string): number {
  const wait = Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** Math.max(0, failures - 1));
  return Math.ceil(wait * (1 + chance(`${domainId} ${failures}`) / 5));
}

/** From 0 up to 1, the same for the same text. */
function chance(text: string): number {
  return createHash("sha256").update(text).digest().readUInt32BE() / 2 ** 32;
}
