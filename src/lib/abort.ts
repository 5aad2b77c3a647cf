/** Resolves when `signal` is aborted (never rejects). */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => void addAbortListener(signal, resolve));
}

/**
 * A signal that is aborted after `ms`, unless it is disposed of before, and keeps no process alive. Of `AbortSignal.timeout` a timer is
 * left for all of its time, and an error with a stack at its end, for each call that was answered long ago.
 */
export function timeLimit(ms: number, late: string): { readonly signal: AbortSignal } & Disposable {
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(new Error(late)), ms).unref();
  return { signal: over.signal, [Symbol.dispose]: () => clearTimeout(timer) };
}

/** Who listens to a signal: an event target looks through all of its listeners for each that comes or goes. */
const listening = new WeakMap<AbortSignal, Set<{ readonly listener: () => void }>>();

/** Runs `listener` once on abort; leaves no trace on a long-lived signal when disposed of, and costs the same for the ten thousandth. */
export function addAbortListener(signal: AbortSignal, listener: () => void): Disposable {
  if (signal.aborted) {
    listener();
    return { [Symbol.dispose]: () => {} };
  }
  const all = listening.get(signal) ?? listenedTo(signal);
  const own = { listener };
  all.add(own);
  return { [Symbol.dispose]: () => void all.delete(own) };
}

function listenedTo(signal: AbortSignal): Set<{ readonly listener: () => void }> {
  const all = new Set<{ readonly listener: () => void }>();
  listening.set(signal, all);
  const tell = () => {
    for (const { listener } of all) listener();
    all.clear();
  };
  signal.addEventListener("abort", tell, { once: true });
  return all;
}
