import type { Instant } from "../lib/clock.ts";
import type { Isolation } from "./isolation.ts";
import type { Runtime } from "./runtime.ts";

export const APP_NAME = /^[a-z][a-z0-9-]{1,28}[a-z0-9]$/;
/** Process types (spec 1.2). */
export const PROCESS_TYPE = /^[-\w]{1,128}$/;

export interface App extends Runtime {
  readonly id: string;
  readonly name: string;
  readonly ownerId: string;
  /** Its range of user ids: `uidBase + uidIndex * 65536`. Never given to another app. */
  readonly uidIndex: number;
  readonly maintenance: boolean;
  readonly stack: string;
  /** What its next releases are made with; dynos run as their release says. */
  readonly isolation: Isolation;
  /** The release that runs; null before the first. */
  readonly currentReleaseId: string | null;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
  readonly releasedAt: Instant | null;
  /** Since when its dynos are stopped for want of requests; null: they are not. */
  readonly asleepSince: Instant | null;
}

export interface User {
  readonly id: string;
  readonly email: string;
  readonly name: string | null;
  /** Sees to the whole platform: its users and its audit log. The first user is one. */
  readonly isOperator: boolean;
  /** Since when the operator lets them do nothing; null: they may. */
  readonly suspendedAt: Instant | null;
  readonly allowTracking: boolean;
  readonly beta: boolean;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
}

export interface Domain {
  readonly id: string;
  readonly appId: string;
  readonly hostname: string;
  readonly kind: "heroku" | "custom";
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
  /** Its certificate; null: the installation's own. */
  readonly sniEndpointId: string | null;
}
