import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "../lib/join.ts";
import { EXEC_PORT } from "../model/exec-address.ts";
import type { Upstream } from "./upstream.ts";

const CONNECTIONS_MAX = 64;

/**
 * Where SSH clients of the official CLI's `ps:exec` come in: that client dials port 80 of the address it is told, so this is a
 * loopback address of its own (platform-api 3.7). They are carried to the platform's SSH over TLS, and prove there by a key who they are;
 * until the relay's own person has had one registered through it, nobody is let in.
 */
export class ExecDoor implements AsyncDisposable {
  /** Undefined where it could not be opened. */
  readonly address: string | undefined;
  /** Why not, in words for a person; null: it is open. */
  readonly refusal: string | null;
  readonly #server: Server | undefined;
  readonly #sockets = new Set<Socket>();
  #isOpen = false;

  private constructor(address: string | undefined, refusal: string | null, server: Server | undefined) {
    this.address = address;
    this.refusal = refusal;
    this.#server = server;
  }

  static async at(address: string, upstream: Upstream, port = EXEC_PORT): Promise<ExecDoor> {
    const server = createServer();
    server.maxConnections = CONNECTIONS_MAX;
    try {
      server.listen({ host: address, port });
      await once(server, "listening");
    } catch (error) {
      return new ExecDoor(undefined, refusalOf(error as NodeJS.ErrnoException, address), undefined);
    }
    const door = new ExecDoor(address, null, server);
    server.on("connection", (socket) => door.#carry(socket, upstream));
    return door;
  }

  /** From now on a key may be registered. */
  open(): void {
    this.#isOpen = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #carry(socket: Socket, upstream: Upstream): void {
    socket.on("error", () => socket.destroy());
    if (!this.#isOpen) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    const headers = { Host: upstream.host, Authorization: upstream.authorization(undefined) };
    const upgrade = { Connection: "Upgrade", Upgrade: "stator-ssh" };
    const outgoing = upstream.request("GET", "/stator/ssh", Object.entries({ ...headers, ...upgrade }).flat(), false);
    socket.once("close", () => {
      this.#sockets.delete(socket);
      outgoing.destroy();
    });
    outgoing.once("upgrade", (_answer, joined, first) => {
      socket.setNoDelay(true);
      if (first.length > 0) socket.write(first);
      join(joined, socket);
    });
    outgoing.once("response", (answer) => {
      answer.resume();
      socket.destroy();
    });
    outgoing.once("error", () => socket.destroy());
    outgoing.end();
  }
}

function refusalOf({ code, message }: NodeJS.ErrnoException, address: string): string {
  const where = `port ${EXEC_PORT} of ${address}`;
  if (code === "EACCES") return `${where} takes root, or sudo sysctl net.ipv4.ip_unprivileged_port_start=${EXEC_PORT}`;
  if (code === "EADDRINUSE") return `${where} is taken`;
  if (code === "EADDRNOTAVAIL") return `this machine has no address ${address}`;
  return message;
}
