import { AsyncLocalStorage } from "node:async_hooks";

const acting = new AsyncLocalStorage<string>();

/** Runs `body` on behalf of a user: what it changes is theirs (`actor`). */
export function actingAs<T>(userId: string, body: () => T): T {
  return acting.run(userId, body);
}

/** On whose behalf this runs; null: the platform's own. */
export function actor(): string | null {
  return acting.getStore() ?? null;
}
