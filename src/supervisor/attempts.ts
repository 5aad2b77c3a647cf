import { EngineError } from "../engine/engine.ts";
import type { Clock } from "../lib/clock.ts";
import { type Attempt, type AttemptKind, type Attempts, attemptKey } from "./situation.ts";

/** How calls to the engine went, for one app since the daemon started; see `Attempts`. */
export class AttemptBook {
  readonly #clock: Clock;
  readonly #attempts = new Map<string, Attempt>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get all(): Attempts {
    return this.#attempts;
  }

  succeeded(kind: AttemptKind, dynoId: string): void {
    const doneAt = this.#clock.now();
    this.#attempts.set(attemptKey(kind, dynoId), { doneAt, failures: 0, error: null, message: "", nextAt: 0 });
  }

  failed(kind: AttemptKind, dynoId: string, error: unknown): Attempt {
    const key = attemptKey(kind, dynoId);
    const before = this.#attempts.get(key);
    const failures = (before?.failures ?? 0) + 1;
    const id: NonNullable<Attempt["error"]> = error instanceof EngineError ? error.id : "other";
    const nextAt = this.#clock.now() + pauseMs(id, failures);
    const message = id === "invalid" && error instanceof Error ? `${MESSAGES[id]}: ${error.message}` : MESSAGES[id];
    const attempt: Attempt = { doneAt: before?.doneAt ?? null, failures, error: id, message, nextAt };
    this.#attempts.set(key, attempt);
    return attempt;
  }

  /** A dyno was freed: those that found no room are tried again now. */
  roomMade(): void {
    const nextAt = this.#clock.now();
    for (const [key, attempt] of this.#attempts) {
      if (attempt.error === "no_capacity") this.#attempts.set(key, { ...attempt, nextAt });
    }
  }

  /** Forgets what concerns no dyno of these. */
  keep(dynoIds: ReadonlySet<string>): void {
    for (const key of this.#attempts.keys()) {
      if (!dynoIds.has(key.slice(key.indexOf(" ") + 1))) this.#attempts.delete(key);
    }
  }
}

/** What users are told; the error itself goes to the operators' log. */
const MESSAGES: Readonly<Record<NonNullable<Attempt["error"]>, string>> = {
  gone: "its id was used before",
  no_capacity: "no room for it on this host",
  invalid: "the host refused it",
  not_found: "its slug or stack is missing",
  unavailable: "the host cannot be reached",
  failed: "the host could not make it",
  other: "the host could not make it",
};

/** A host that is away is back soon; what it refuses it will refuse again. */
function pauseMs(id: NonNullable<Attempt["error"]>, failures: number): number {
  const [first, most] = id === "unavailable" ? [250, 5_000] : [1_000, 60_000];
  return Math.min(most, first * 2 ** Math.min(failures - 1, 10));
}
