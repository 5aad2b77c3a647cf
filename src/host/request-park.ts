import { chmod, link, lstat, rm } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";

export interface RequestParkOptions {
  /** Where the daemon takes request lines, when it lives. */
  readonly socket: string;
  /** Where ours is made; a name in a folder of root's on the same file system. */
  readonly own: string;
  /** Whether HAProxy sends its lines at all; always if not given. */
  readonly isNeeded?: () => Promise<boolean>;
  readonly clock: Clock;
  readonly logger: Logger;
}

const LOOK_MS = 2_000;

/**
 * For an HAProxy that sends its request lines (`RequestLog`). Takes HAProxy's connection for request lines while the daemon is dead, and reads nothing from it: HAProxy would otherwise connect
 * again thousands of times a second, for as long as nobody listens. The lines wait in the kernel and in HAProxy's ring. When the
 * daemon is back it gets what has come, and HAProxy a closed connection, at which it connects to the daemon.
 */
export class RequestPark implements AsyncDisposable {
  readonly #options: RequestParkOptions;
  readonly #closed = new AbortController();
  readonly #parked = new Set<Socket>();
  readonly #loop: Promise<void>;
  #server: { readonly server: Server; readonly inode: number } | undefined;

  constructor(options: RequestParkOptions) {
    this.#options = options;
    this.#loop = this.#watch();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    await this.#loop;
    for (const socket of this.#parked) socket.destroy();
    await this.#leave();
  }

  async #watch(): Promise<void> {
    const { isNeeded, clock, logger } = this.#options;
    const { signal } = this.#closed;
    while (!signal.aborted) {
      try {
        if (this.#server !== undefined) {
          if (!(await this.#isOurs(this.#server.inode))) await this.#release();
        } else if ((await isNeeded?.()) !== false) await this.#parkUnlessAnswered();
      } catch (error) {
        logger.warn("router.park_failed", { error });
      }
      await clock.sleep(LOOK_MS, signal).catch(() => {}); // closed
    }
  }

  async #parkUnlessAnswered(): Promise<void> {
    const { socket, own, logger } = this.#options;
    if (await isAnswered(socket)) return;
    await rm(own, { force: true });
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (connection) => {
      this.#parked.add(connection);
      connection.on("error", () => {}); // HAProxy went; what it sent is lost with it
      connection.on("close", () => this.#parked.delete(connection));
    });
    await listening(server, own);
    await chmod(own, 0o666); // the folder of the daemon's lets only HAProxy's group in
    this.#server = { server, inode: (await lstat(own)).ino };
    try {
      await rm(socket, { force: true }); // a dead process's
      await link(own, socket); // not rename: the daemon may have come meanwhile, and its socket must stay
      logger.info("router.parked");
    } catch (error) {
      await this.#leave();
      throw error;
    }
  }

  async #isOurs(inode: number): Promise<boolean> {
    return (await socketAt(this.#options.socket)) === inode;
  }

  /** Hands what was taken to the daemon. */
  async #release(): Promise<void> {
    const { socket, logger } = this.#options;
    if ((await socketAt(socket)) === undefined) return; // the daemon is about to make its own
    await this.#leave();
    for (const parked of this.#parked) {
      const daemon = connect(socket);
      const end = (): void => {
        parked.destroy();
        daemon.destroy();
      };
      daemon.on("error", end);
      parked.on("error", end);
      parked.pipe(daemon);
      parked.end(); // HAProxy closes at this, and what it had sent before comes all the same
    }
    logger.info("router.unparked", { connections: this.#parked.size });
  }

  /** Takes no more; nothing of ours is left in the folders. */
  async #leave(): Promise<void> {
    const held = this.#server;
    this.#server = undefined;
    if (held === undefined) return;
    if (await this.#isOurs(held.inode)) await rm(this.#options.socket, { force: true });
    held.server.close(); // removes `own`; connections stay
  }
}

/** Its inode, unless something else is there: the folder is the daemon's, and must not lead root elsewhere. */
async function socketAt(path: string): Promise<number | undefined> {
  const facts = await lstat(path).catch(() => undefined); // nothing there
  return facts?.isSocket() ? facts.ino : undefined;
}

/** Whether anybody listens there. */
async function isAnswered(path: string): Promise<boolean> {
  if ((await socketAt(path)) === undefined) return false;
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", ({ code }: NodeJS.ErrnoException) => resolve(code !== "ENOENT" && code !== "ECONNREFUSED"));
  });
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
}
