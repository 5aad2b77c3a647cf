import type { Socket } from "node:net";
import type { AuthContext, Connection, ParsedKey, PublicKeyAuthContext, Session, utils as Utils } from "ssh2";
import { type Ports, servePorts } from "./ports.ts";
import { serveSession } from "./session.ts";
import type { ConnectionOptions, Stage } from "./stage.ts";
import type { Tunnel } from "./tunnels.ts";

export interface Arrival extends ConnectionOptions {
  readonly connection: Connection;
  readonly socket: Socket;
  /** The program that the client says it is. */
  readonly software: string;
  /** The library's, which is loaded by who needs it first. */
  readonly utils: typeof Utils;
  /** Called once its key was right; false: there is no room for it. */
  readonly come: (tunnel: Tunnel) => boolean;
}

/** Keys that a client may try. */
const ATTEMPTS_MAX = 6;
/** A client that has come in and opens nothing is sent away. */
const UNUSED_MS = 60_000;
/** Beyond this a client does not read what it asks for, or sends more than it was told it may. */
const BUFFERED_BYTES_MAX = 8 * 1024 * 1024;

/**
 * One SSH client: lets it in by the key of a tunnel, and opens for it what that tunnel is for: a terminal, a command or a copy
 * once, or connections to ports of the dyno.
 */
export function serveConnection({ connection, socket, software, utils, come, ...options }: Arrival): void {
  const { clock, logger, tunnels } = options;
  const gone = new AbortController();
  const buffers = new Set<() => number>();
  const end = () => {
    gone.abort();
    socket.destroy();
  };
  connection.on("error", (error: Error) => {
    logger.info("ssh.broken", { why: error.message });
    end();
  });
  socket.once("close", () => gone.abort());
  // The library answers and takes in whatever comes, so somebody has to look.
  socket.on("data", () => {
    const held = [...buffers].some((bytes) => bytes() > BUFFERED_BYTES_MAX);
    if (!held && socket.writableLength <= BUFFERED_BYTES_MAX) return;
    logger.warn("ssh.too_much_buffered");
    end();
  });

  let tried = 0;
  let stage: Stage | undefined;
  connection.on("authentication", (context: AuthContext) => {
    if (context.method !== "publickey") return context.reject(["publickey"]);
    if (++tried > ATTEMPTS_MAX) return end();
    admit(context).catch((error: unknown) => {
      logger.error("ssh.not_admitted", { error });
      end();
    });
  });

  async function admit(context: PublicKeyAuthContext): Promise<void> {
    const tunnel = tunnels.find(context.username, context.key.data);
    const key = tunnel && utils.parseKey(tunnel.key);
    if (tunnel === undefined || key === undefined || key instanceof Error) return context.reject(["publickey"]);
    if (context.signature === undefined) return context.accept(); // the key would do
    if (!isSigned(key, context)) return context.reject(["publickey"]);
    const guest = await options.guestOf(tunnel);
    if (gone.signal.aborted) return undefined;
    if (guest === undefined || !come(tunnel)) return context.reject([]);
    stage = { ...options, tunnel, guest, sftpCodes: utils.sftp, software, gone: gone.signal, drained };
    clock.sleep(UNUSED_MS, gone.signal).then(
      () => used || end(),
      () => {}, // it has gone
    );
    return context.accept();
  }

  let used = false;
  let ports: Ports | undefined;
  connection.on("session", (accept: () => Session, reject: () => void) => {
    if (stage === undefined || !tunnels.takeSession(stage.tunnel)) return reject();
    used = true;
    serveSession(accept(), stage, buffers);
  });
  connection.on("tcpip", (accept, reject, { destIP, destPort }) => {
    if (stage === undefined || !tunnels.takeForward(stage.tunnel)) return reject();
    used = true;
    ports ??= servePorts(stage, buffers);
    ports.open({ host: destIP, port: destPort }, accept, reject);
  });
  // Listening on our side and everything else that a client may ask for beside its channels.
  connection.on("request", (_accept, reject) => reject?.());

  async function drained(): Promise<void> {
    if (!socket.writableNeedDrain || gone.signal.aborted) return;
    await new Promise<void>((resolve) => {
      socket.once("drain", resolve);
      gone.signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }
}

function isSigned(key: ParsedKey, { blob, signature, hashAlgo }: PublicKeyAuthContext): boolean {
  return blob !== undefined && signature !== undefined && key.verify(blob, signature, hashAlgo) === true;
}
