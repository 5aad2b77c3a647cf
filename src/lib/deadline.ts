import type { Clock } from "./clock.ts";
import { Late } from "./within.ts";

/** Runs `work` with a signal that is aborted with `signal`, or after `ms`: then it throws `Late`, whatever `work` says. */
export async function withDeadline<T>(
  { clock, ms, what, signal }: DeadlineOptions,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const done = new AbortController();
  const late = new AbortController();
  void clock.sleep(ms, done.signal).then(
    () => late.abort(new Late(what, ms)),
    () => {}, // the work was done sooner
  );
  try {
    return await work(AbortSignal.any([signal, late.signal]));
  } catch (error) {
    throw late.signal.aborted && !signal.aborted ? late.signal.reason : error;
  } finally {
    done.abort();
  }
}

export interface DeadlineOptions {
  readonly clock: Clock;
  readonly ms: number;
  /** For the message: `connecting to logs.example.com`. */
  readonly what: string;
  readonly signal: AbortSignal;
}
