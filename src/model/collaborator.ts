import type { Instant } from "../lib/clock.ts";
import type { App } from "./app.ts";
import type { Permission } from "./permission.ts";

/** Somebody who has a part in another's app. The owner is none: they may do everything. */
export interface Collaborator {
  readonly id: string;
  readonly appId: string;
  readonly userId: string;
  readonly permissions: readonly Permission[];
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
}

/** An app as somebody sees it. */
export interface Access {
  readonly app: App;
  /** All of them for the owner. */
  readonly permissions: readonly Permission[];
}
