import type { Socket } from "node:net";
import { addAbortListener } from "../lib/abort.ts";
import { serveConnection } from "./connection.ts";
import type { Door } from "./door.ts";
import { type HostKey, openHostKey } from "./host-key.ts";
import type { ConnectionOptions } from "./stage.ts";
import { type Tunnel, type TunnelFacts, Tunnels } from "./tunnels.ts";

export interface SshOptions extends Omit<ConnectionOptions, "tunnels"> {
  readonly door: Door;
  /** Where the host key is kept. */
  readonly folder: string;
}

const CONNECTIONS_MAX = 128;
/** Of these, who has not said yet who it is. */
const STRANGERS_MAX = 16;
const EACH_MAX = 32;
/** From a client's first byte, or none, until it is in. */
const HANDSHAKE_MS = 15_000;
const RETRY_MS = 1_000;
/**
 * Clients made with ssh2, as the official one is, ask an OpenSSH for whole pieces of a file, and others for pieces and their rests, which would
 * lead back and forth in it.
 */
const IDENT = "OpenSSH_9.2 stator";

/**
 * SSH for the official CLI's `ps:exec`, `ps:copy`, `ps:forward` and `ps:socks`. It costs nothing until the first key is registered: the
 * library is loaded then, and the door is held open for as long as a key could come.
 */
export class Ssh implements AsyncDisposable {
  readonly #options: SshOptions;
  readonly #tunnels: Tunnels;
  readonly #closed = new AbortController();
  /** Whose connection it is; undefined: it has not come in yet. */
  readonly #connections = new Map<Socket, string | undefined>();
  #key: Promise<HostKey> | undefined;
  #admitting: Promise<void> | undefined;
  /** Aborted when nobody is to be waited for any more. */
  #waiting = new AbortController();

  constructor(options: SshOptions) {
    this.#options = options;
    this.#tunnels = new Tunnels(options.clock, () => this.#waiting.abort());
  }

  /** Why SSH clients cannot come in, in words for a person; null: they can. */
  refusal(): Promise<string | null> {
    return this.#options.door.refusal();
  }

  /** Lets an SSH client with this key come. Gives its name, and the public key by which it knows us. */
  async register(facts: TunnelFacts): Promise<{ readonly tunnel: Tunnel; readonly hostKey: string }> {
    this.#key ??= openHostKey(this.#options.folder);
    const key = await this.#key.catch((error: unknown) => {
      this.#key = undefined; // the next one tries again
      throw error;
    });
    const tunnel = this.#tunnels.register(facts);
    this.#admitting ??= this.#admit(key).finally(() => {
      this.#admitting = undefined;
    });
    return { tunnel, hostKey: key.publicKey };
  }

  /** Takes in a client that comes another way than by the door. Gives whether there is a key with which it could. */
  async join(socket: Socket): Promise<boolean> {
    if (this.#key === undefined || this.#tunnels.openForMs() === 0 || this.#closed.signal.aborted) return false;
    this.#take(socket, await this.#key);
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    await this.#admitting;
    for (const socket of this.#connections.keys()) socket.destroy();
  }

  /** Takes in who comes, until no key is left that could. */
  async #admit(key: HostKey): Promise<void> {
    const { door, clock, logger } = this.#options;
    const closed = this.#closed.signal;
    let isShut = false;
    for (;;) {
      const openForMs = this.#tunnels.openForMs();
      if (openForMs === 0 || closed.aborted) return;
      const over = new AbortController();
      this.#waiting = over;
      using _closed = addAbortListener(closed, () => over.abort());
      clock.sleep(openForMs, over.signal).then(
        () => over.abort(),
        () => {}, // somebody came
      );
      try {
        const socket = await door.next(over.signal);
        over.abort();
        isShut = false;
        this.#take(socket as Socket, key); // a connection of this machine
      } catch (error) {
        if (over.signal.aborted) continue;
        over.abort();
        if (!isShut) logger.warn("ssh.door_shut", { error });
        isShut = true;
        await clock.sleep(RETRY_MS, closed).catch(() => {}); // closed
      }
    }
  }

  /** Takes a client in, or sends it away where there is no room. */
  #take(socket: Socket, key: HostKey): void {
    const { logger } = this.#options;
    const strangers = [...this.#connections.values()].filter((userId) => userId === undefined).length;
    socket.on("error", () => {}); // told by `close`
    if (this.#connections.size >= CONNECTIONS_MAX || strangers >= STRANGERS_MAX) {
      logger.warn("ssh.full", { connections: this.#connections.size, strangers });
      socket.destroy();
      return;
    }
    this.#connections.set(socket, undefined);
    socket.once("close", () => this.#connections.delete(socket));
    this.#serve(socket, key).catch((error: unknown) => {
      logger.error("ssh.not_served", { error });
      socket.destroy();
    });
  }

  async #serve(socket: Socket, key: HostKey): Promise<void> {
    const { Server, utils } = (await import("ssh2")).default;
    const { clock } = this.#options;
    const patience = new AbortController();
    socket.once("close", () => patience.abort());
    clock.sleep(HANDSHAKE_MS, patience.signal).then(
      () => socket.destroy(),
      () => {}, // it came in, or went
    );
    const come = ({ userId }: Tunnel): boolean => {
      const own = [...this.#connections.values()].filter((each) => each === userId).length;
      if (own >= EACH_MAX || socket.destroyed) return false;
      this.#connections.set(socket, userId);
      patience.abort();
      return true;
    };
    // One for each connection, so that it is known which is which; it never listens.
    const server = new Server({
      hostKeys: [key.privateKey],
      ident: IDENT,
      algorithms: { compress: ["none"] },
    });
    server.on("connection", (connection, info) => {
      const { software } = info.header.versions;
      serveConnection({ ...this.#options, connection, socket, software, utils, come, tunnels: this.#tunnels });
    });
    server.injectSocket(socket);
  }
}
