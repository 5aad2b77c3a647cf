import type { Instant } from "../../lib/clock.ts";
import type { Refusal } from "./nft.ts";

const QUIET_MS = 60_000;

/** Lets each refusal through once a minute: the kernel's set forgets after a minute too, but not at the same instant. */
export class RefusalFilter {
  readonly #told = new Map<string, Instant>();

  /** Those of `seen` that were not told within the last minute; they count as told now. */
  fresh(seen: readonly Refusal[], now: Instant): readonly Refusal[] {
    for (const [key, at] of this.#told) if (now - at >= QUIET_MS) this.#told.delete(key);
    return seen.filter((refusal) => {
      const key = `${refusal.index} ${refusal.protocol} ${refusal.destination}`;
      if (this.#told.has(key)) return false;
      this.#told.set(key, now);
      return true;
    });
  }

  /** The index is free: its next dyno starts with nothing told. */
  forget(index: number): void {
    for (const key of this.#told.keys()) if (key.startsWith(`${index} `)) this.#told.delete(key);
  }
}
