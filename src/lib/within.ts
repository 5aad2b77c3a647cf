import type { Clock } from "./clock.ts";

/** It took longer than it may. */
export class Late extends Error {
  constructor(what: string, ms: number) {
    super(`${what}: no answer for ${ms / 1000} s`);
    this.name = "Late";
  }
}

/** Nobody reads it; an error of its own for each call would cost a stack. */
const DONE = new Error("done");

/** Throws `Late` when `work` takes longer than `ms`. The work itself goes on; what is repeatable may be. */
export async function within<T>(clock: Clock, ms: number, what: string, work: Promise<T>): Promise<T> {
  const done = new AbortController();
  const late = clock.sleep(ms, done.signal).then(() => {
    throw new Late(what, ms);
  });
  late.catch(() => {}); // slept in vain
  try {
    return await Promise.race([work, late]);
  } finally {
    done.abort(DONE);
  }
}
