import { addAbortListener } from "./abort.ts";

/** Milliseconds since the Unix epoch. */
export type Instant = number;

/** The only way to time: passed in, so that tests and the simulation choose it. */
export interface Clock {
  /** Wall-clock time in milliseconds. */
  now(): Instant;
  /** Resolves after `ms`; rejects with the signal's reason when aborted first. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const listening = addAbortListener(signal, () => {
        clearTimeout(timer);
        reject(signal.reason);
      });
      const timer = setTimeout(() => {
        listening[Symbol.dispose]();
        resolve();
      }, ms);
    }),
};
