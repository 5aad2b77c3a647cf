import type { Instant } from "../lib/clock.ts";

/** An offer of an app's owner to somebody, who becomes its owner by accepting it. An app has one that is pending at most. */
export interface AppTransfer {
  readonly id: string;
  readonly appId: string;
  /** Who offered it. */
  readonly ownerId: string;
  readonly recipientId: string;
  readonly state: AppTransferState;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
}

export type AppTransferState = "pending" | "accepted" | "declined";
