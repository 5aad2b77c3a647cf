import type { Clock } from "../lib/clock.ts";
import type { EndedDynos } from "./ended-dynos.ts";
import type { Outbox } from "./outbox.ts";
import type { RandomBytes, Secrets } from "./secrets.ts";
import type { Database } from "./tables.ts";

/**
 * What the queries are given: a way to the tables, inside a transaction or not, and what they may use besides. The same
 * queries run on a connection of their own or as part of somebody's transaction.
 */
export interface Work {
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly secrets: Secrets;
  readonly outbox: Outbox;
  readonly endedDynos: EndedDynos;
  read<T>(body: (db: Database) => Promise<T>): Promise<T>;
  /** One transaction, or a part of the one that is open. `touch` names an app that changed. */
  write<T>(body: (db: Database, touch: Touch) => Promise<T>): Promise<T>;
}

export type Touch = (appId: string) => void;

/** A random UUID (version 4). */
export function newId({ random }: Pick<Work, "random">): string {
  const bytes = Buffer.from(random(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
