import type { Duplex } from "node:stream";
import type { utils as Utils } from "ssh2";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Sessions } from "../run/sessions.ts";
import type { Tunnel, Tunnels } from "./tunnels.ts";

/** What is opened in the dyno, one of the three. */
export interface Opened {
  readonly command?: string;
  /** A file's path. */
  readonly file?: string;
  /** Host and port. */
  readonly connect?: string;
}

/** Whose tunnel it is, asked again when its client comes. */
export interface Guest {
  readonly userEmail: string;
  /** Writes into the audit log what is about to be opened. */
  note(what: Opened): Promise<void>;
}

export interface ConnectionOptions {
  readonly tunnels: Tunnels;
  readonly sessions: Pick<Sessions, "open" | "connect" | "readFile">;
  /** undefined: no more, whatever was allowed when the key was registered. */
  readonly guestOf: (tunnel: Tunnel) => Promise<Guest | undefined>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What each channel is given. */
export interface Stage extends ConnectionOptions {
  readonly tunnel: Tunnel;
  readonly guest: Guest;
  readonly sftpCodes: typeof Utils.sftp;
  /** The program that the client says it is. */
  readonly software: string;
  /** Aborted once the connection is no more. */
  readonly gone: AbortSignal;
  /** Resolves once what was written to the client has left us, or it has gone. */
  readonly drained: () => Promise<void>;
}

const REPLIES_MAX = 256;

/** What a channel holds that its reader has not taken. */
export function bytesHeld(channel: Pick<Duplex, "readableLength" | "writableLength">): number {
  return channel.readableLength + channel.writableLength;
}

/** The library keeps answers that the client takes no window for; it has no other measure of them than its own list. */
export function repliesHeld(sftp: object): number {
  const { _buffer: waiting } = sftp as { readonly _buffer?: readonly unknown[] }; // not in its types; a test sees it
  return (waiting?.length ?? 0) > REPLIES_MAX ? Number.POSITIVE_INFINITY : 0;
}
