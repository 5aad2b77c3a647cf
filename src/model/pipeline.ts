import type { Instant } from "../lib/clock.ts";

/** Stages in the order in which code moves (spec 9.7). */
export const STAGES = ["test", "review", "development", "staging", "production"] as const;
export type Stage = (typeof STAGES)[number];

/** As Heroku's clients accept them. */
export const PIPELINE_NAME = /^[a-z][a-z0-9-]{1,28}[a-z0-9]$/;

/** Apps with the same code in several stages. */
export interface Pipeline {
  readonly id: string;
  readonly name: string;
  readonly ownerId: string;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
}

/** An app's place in a pipeline; an app is in one at most. */
export interface Coupling {
  readonly id: string;
  readonly pipelineId: string;
  readonly appId: string;
  readonly stage: Stage;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
}

/** A release's code, released in other apps of its pipeline. */
export interface Promotion {
  readonly id: string;
  readonly pipelineId: string;
  readonly sourceAppId: string;
  readonly sourceReleaseId: string;
  readonly createdAt: Instant;
}

/** One of the apps. What became of it is its release's status: nothing else is kept. */
export interface PromotionTarget {
  readonly id: string;
  readonly promotionId: string;
  readonly appId: string;
  readonly releaseId: string;
}
