import type { Duplex } from "node:stream";

/** The address at which SSH clients come in: port 80 takes privilege, so the host process listens and hands them over. */
export interface Door {
  /** Why nobody can come in there, in words for a person; null: the address stands open, for ten seconds at least. */
  refusal(): Promise<string | null>;
  /** The next who comes in. Rejects when `signal` is aborted, and while the host process is away. */
  next(signal: AbortSignal): Promise<Duplex>;
}
