import { chmod, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import type { Logger } from "../lib/logger.ts";
import { UUID } from "../lib/uuid.ts";
import type { Instance } from "../model/instance.ts";
import { wakeSocket } from "../model/sleep.ts";

/** HAProxy says one id on each connection. */
const BYTES_MAX = 64;
const IDLE_MS = 5_000;

/** Where HAProxy says for which apps requests wait (`host/hold.lua`), an id and a newline on each connection; anything else is nothing. */
export class WakeSocket implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets: ReadonlySet<Socket>;

  static async open(
    instance: { readonly paths: Pick<Instance["paths"], "daemonRun"> },
    heard: (appId: string) => void,
    logger: Logger,
  ): Promise<WakeSocket> {
    const path = wakeSocket(instance);
    await rm(path, { force: true });
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      let text = "";
      socket.setTimeout(IDLE_MS, () => socket.destroy());
      socket.on("error", () => {}); // HAProxy says it again
      socket.on("close", () => sockets.delete(socket));
      socket.on("data", (chunk: Buffer) => {
        text += chunk.toString("latin1", 0, BYTES_MAX + 1);
        if (text.length <= BYTES_MAX && !text.includes("\n")) return;
        const [id = ""] = text.split("\n");
        if (UUID.test(id)) heard(id);
        else logger.warn("router.bad_wake");
        socket.destroy();
      });
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
    await chmod(path, 0o666); // the folder lets only HAProxy's group in
    return new WakeSocket(server, sockets);
  }

  private constructor(server: Server, sockets: ReadonlySet<Socket>) {
    this.#server = server;
    this.#sockets = sockets;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
