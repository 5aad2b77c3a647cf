import { EngineError } from "../engine/engine.ts";
import type { Clock } from "../lib/clock.ts";
import { ChecksumError } from "../model/checksum.ts";
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
    const id = errorId(error);
    const message = messageOf(id, error);
    const nextAt = this.#clock.now() + pauseMs(id, failures);
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

function errorId(error: unknown): NonNullable<Attempt["error"]> {
  if (error instanceof EngineError) return error.id;
  return error instanceof ChecksumError ? "checksum" : "other";
}

/** What users are told; the error itself goes to the operators' log. */
const MESSAGES: Readonly<Record<NonNullable<Attempt["error"]>, string>> = {
  gone: "its id was used before",
  no_capacity: "no room for it on this host",
  invalid: "the host refused it",
  not_found: "its slug or stack is missing",
  unavailable: "the host cannot be reached",
  checksum: "its slug is not what was built",
  failed: "the host could not make it",
  other: "the host could not make it",
};

/** With both sums, or with what is free and what was asked, where that is what is wrong. */
function messageOf(id: NonNullable<Attempt["error"]>, error: unknown): string {
  if (error instanceof ChecksumError) return error.message;
  if (id === "invalid" && error instanceof Error) return `${MESSAGES[id]}: ${error.message}`;
  const facts =
    id === "no_capacity" && error instanceof Error ? /^No room: (.+?)\. /.exec(error.message)?.[1] : undefined;
  return facts === undefined ? MESSAGES[id] : `${MESSAGES[id]}: ${facts}`;
}

/** A host that is away is back soon; what it refuses it will refuse again. */
function pauseMs(id: NonNullable<Attempt["error"]>, failures: number): number {
  const [first, most] = id === "unavailable" ? [250, 5_000] : [1_000, 60_000];
  return Math.min(most, first * 2 ** Math.min(failures - 1, 10));
}
