import { createHash } from "node:crypto";
import type { BasicAuthUser } from "../model/basic-auth.ts";
import type { RoutingSettings } from "../model/routing.ts";

/** What the router should do, one app at a time. The host side turns it into HAProxy's configuration and commands. */
export interface AppRoute {
  readonly appId: string;
  /** Host names, lower case, without port; `*.example.com` for a wildcard. */
  readonly hosts: readonly string[];
  readonly state: RouteState;
  /** Web dynos that are up and should get new requests. Addresses are the engine's to know. */
  readonly dynoIds: readonly string[];
  /** Absent: all of them at their defaults. */
  readonly options?: RouteOptions;
}

/** What differs from app to app (docs/routing.md, Options of an app). */
export interface RouteOptions extends RoutingSettings {
  /** A browser's requests stay with one dyno (spec 7.7). */
  readonly sessionAffinity: boolean;
  /** `Expect: 100-continue` is the dyno's to answer (spec 7.5); absent, as in what an older program told: the router does. */
  readonly endToEndContinue?: boolean;
  /** Who may come in; empty: everybody. */
  readonly users: readonly BasicAuthUser[];
  /** Addresses in `pageUrl`'s form; null: the platform's own page (spec 7.8). */
  readonly errorPage: string | null;
  readonly maintenancePage: string | null;
}

/** What a request meets when no dyno of the app is up (spec 1.3, 6.4). */
export type RouteState =
  /** Dynos are up, or starting: hold the request (up to 75 s, then H20). */
  | "serve"
  /** Its dynos are stopped until there is a request: hold it, as in `serve`, and tell the daemon. */
  | "asleep"
  /** Every web dyno has crashed: H10. */
  | "crashed"
  /** Scaled to 0: H14. */
  | "no-web"
  /** Never deployed: H81. */
  | "blank"
  /** Maintenance mode: H80. */
  | "maintenance";

/** How long a dyno that leaves the router has to answer what it took. */
export const LEAVE_MS = 1_000;

/** Where routes go: the host process, or a stand-in of the tests. Every call may be repeated. */
export interface RouteTarget {
  /** Replaces everything that is known of the app. Resolves once new requests go there. */
  setRoute(route: AppRoute): Promise<void>;
  removeRoute(appId: string): Promise<void>;
  /**
   * Resolves once the dynos that the app's route no longer names have answered what they took, or after `LEAVE_MS`: a program that ends
   * at its SIGTERM would take with it what waits to be accepted by it.
   */
  untilLeft(appId: string): Promise<void>;
  /** Whether any of the app's dynos, those that leave too, has a request or an upgraded connection open. */
  isBusy(appId: string): Promise<boolean>;
  /** The apps that have a route. */
  listRoutes(): Promise<readonly string[]>;
}

/** A certificate, and the names for which clients are shown it (SNI). */
export interface RouteCertificate {
  /** As in `AppRoute.hosts`. */
  readonly hosts: readonly string[];
  /** The chain, leaf first, and the key (PKCS #8), PEM as `checkPair` writes it. */
  readonly pem: string;
}

/** What an ACME authority is answered at `http://<host>/.well-known/acme-challenge/<token>` (RFC 8555, 8.3). */
export interface Challenge {
  readonly host: string;
  readonly token: string;
  readonly keyAuthorization: string;
}

/** Where certificates go. Every call may be repeated. */
export interface CertificateTarget {
  /** Replaces all certificates of the app; resolves once new connections get them. Throws `EngineError("invalid")` for a refused one. */
  setCertificates(appId: string, certificates: readonly RouteCertificate[]): Promise<void>;
  /** The apps that have any, with `digestOf` what they have. */
  listCertificates(): Promise<readonly { readonly appId: string; readonly digest: string }[]>;
  /** Why this chain and key could not be shown; null: they can. */
  certificateRefusal(pem: string): Promise<string | null>;
  /** One for each host; resolves once it is answered. */
  setChallenge(challenge: Challenge): Promise<void>;
  removeChallenge(host: string): Promise<void>;
  /** The hosts that have one. */
  listChallenges(): Promise<readonly string[]>;
}

/** The same for the same certificates. */
export function digestOf(certificates: readonly RouteCertificate[]): string {
  const text = JSON.stringify(certificates.map(({ hosts, pem }) => [hosts, pem]));
  return createHash("sha256").update(text).digest("hex");
}
