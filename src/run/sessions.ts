import type { Readable, Writable } from "node:stream";
import type { ByteStream } from "../engine/engine.ts";

/**
 * Sessions inside a running dyno: processes beside its own, behind the same walls (namespaces, control group, seccomp filter,
 * no capabilities, user, limits), with its environment, in `/app`. They do not keep it alive, and end with it. Whoever calls has
 * asked whether the caller may (`deploy` on the app, as for `run`), and has written it into the audit log.
 *
 * Ready in the commit "Sessions inside a running dyno: the engine runs them". This is what the API, rendezvous, the command line's frames and the SSH listener are built on.
 */
export interface Sessions extends AsyncDisposable {
  /**
   * Starts a process in the dyno of this id (`DynoRecord.id`). Aborting `signal` before it has begun gives it up.
   * Throws `PlatformError`: `not_found` where the dyno does not run, `invalid_params` for what cannot be run there (also in words
   * where the machine's runtime cannot), `service_unavailable` while the host process is away, or beyond the limit of sessions.
   */
  open(dynoId: string, request: SessionRequest, signal: AbortSignal): Promise<DynoProcess>;
  /**
   * Connects to a port from within the dyno's network namespace, so that listeners on its loopback are reached, and nothing that
   * the dyno itself could not reach. `host` is a name or an address as the dyno sees it. Ending `writable` is a half-close; when the other
   * side ends, all ends. Throws as
   * `open`, and `invalid_params` where the connection was refused.
   */
  connect(dynoId: string, to: Endpoint, signal: AbortSignal): Promise<ByteStream>;
  /**
   * Opens a regular file of the dyno, symbolic links followed, relative to `/app`; read by a process in the dyno, so that it sees
   * what the dyno sees. Throws as `open`, and `invalid_params` with the reason where it cannot be read, or is no regular file.
   */
  readFile(dynoId: string, path: string, signal: AbortSignal): Promise<DynoFile>;
}

export interface SessionRequest {
  /**
   * Text: given to bash as one argument, after the profile scripts, like a dyno's own command. A list: a program of the
   * dyno and its arguments, after the profile scripts too. Each at most 64 KiB, without NUL.
   */
  readonly command: string | readonly string[];
  /** Added to the dyno's own environment (config vars, PORT, DYNO). */
  readonly env: Readonly<Record<string, string>>;
  /** A terminal of this size, of which everything comes as `stdout`; null: three pipes. */
  readonly terminal: Window | null;
  /** The person in it, whose session is recorded where the app's owner wants that; null: nobody (a copy, a forward). */
  readonly attended: { readonly userEmail: string } | null;
}

export interface Window {
  readonly rows: number;
  readonly columns: number;
}

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** A process of a session. Streams hold back: what is not read stops the process, what it does not read stops the writer. */
export interface DynoProcess {
  /** Ending it closes the process's standard input; with a terminal it types an end of input (^D). */
  readonly stdin: Writable;
  /** Ends once all was read of what it wrote. Never fails: where the session breaks off it ends early, and `exited` says null. */
  readonly stdout: Readable;
  /** Empty with a terminal. Must be read too. */
  readonly stderr: Readable;
  /**
   * 0 to 255, 128 + signal where a signal ended it; null: nobody saw it (the host process was killed, the dyno's machine failed). Told
   * once `stdout` and `stderr` were read to their ends, or destroyed. Never rejects.
   */
  readonly exited: Promise<number | null>;
  resize(window: Window): void;
  /** To the process and all of its group; with a terminal to the group in the foreground. */
  signal(name: SessionSignal): void;
  /** Hangs up: SIGHUP to all of its session, SIGKILL to what is left of it after 5 s. Does nothing once it has ended. */
  close(): void;
}

/** What is shown in a session of which nobody saw the end. */
export const UNSEEN =
  "The session broke off, and nobody saw how it ended: what runs the dynos may have been started anew.";

export const SESSION_SIGNALS = ["HUP", "INT", "QUIT", "KILL", "TERM", "USR1", "USR2"] as const;
export type SessionSignal = (typeof SESSION_SIGNALS)[number];

export interface DynoFile {
  readonly bytes: number;
  /** The permission bits. */
  readonly mode: number;
  /** Milliseconds since 1970. */
  readonly modifiedAt: number;
  /** Destroying it ends the reading. Fails where the file could not be read to its end. */
  readonly content: Readable;
}
