/** Carries what dynos write from their raw log files into the app's log: each line once, in order, over restarts too. */
export interface DynoLogs {
  /** Begins, or goes on after a restart of the daemon, to carry the dyno's lines into the app's log. May be repeated. */
  follow(dyno: { readonly id: string; readonly appId: string; readonly name: string }): void;
  /** The dyno has ended: resolves once all that it wrote is carried over. May be repeated. */
  ended(dynoId: string, signal: AbortSignal): Promise<void>;
  /** The dyno was removed from the engine: forget its place in the file. */
  forget(dynoId: string): void;
  /**
   * Raw output of an attached dyno from its first byte, exactly as written (no lines); ends when the dyno has ended
   * (`ended` was called) and all was given. Such a dyno is not `follow`ed: its output is not logged (spec 3.9).
   */
  output(dynoId: string, signal: AbortSignal): AsyncIterable<Uint8Array>;
}
