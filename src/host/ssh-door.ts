import { readFile } from "node:fs/promises";
import type { Server, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { EngineError } from "../engine/engine.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { EXEC_PORT } from "../model/exec-address.ts";
import type { Door } from "../ssh/door.ts";
import type { Listen } from "./shared-port.ts";

export interface SshDoorOptions {
  /** An address of this machine's loopback; null: the operator wants none. */
  readonly address: string | null;
  /** Tests: another than 80. */
  readonly port?: number;
  /** Shares the port with a router of ours that has it on every address. */
  readonly listen: Listen;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** So long it stands open after the last who asked for it; who comes meanwhile waits as long at most. */
const LINGER_MS = 10_000;
const COME_MAX = 16;

/**
 * Listens on port 80 of the installation's loopback address while the daemon waits for SSH clients, and at no other time, since whoever wants port
 * 80 of every address for a program of their own would not get it. What comes in is handed over as it is: nothing is read here.
 */
export class SshDoor implements Door, AsyncDisposable {
  readonly #options: SshDoorOptions;
  readonly #waiting: ((client: Socket) => void)[] = [];
  readonly #come: Socket[] = [];
  #server: Server | undefined;
  #opening: Promise<string | null> | undefined;
  #lingering = new AbortController();

  constructor(options: SshDoorOptions) {
    this.#options = options;
  }

  async refusal(): Promise<string | null> {
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    const why = await this.#opening;
    if (why === null) this.#linger();
    return why;
  }

  async next(signal: AbortSignal): Promise<Duplex> {
    const why = await this.refusal();
    if (why !== null) throw new EngineError("failed", why);
    for (let come = this.#come.shift(); come !== undefined; come = this.#come.shift()) if (!come.destroyed) return come;
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const leave = () => {
        const at = this.#waiting.indexOf(take);
        if (at >= 0) this.#waiting.splice(at, 1);
        this.#linger();
        reject(signal.reason);
      };
      const take = (client: Socket) => {
        signal.removeEventListener("abort", leave);
        this.#linger();
        resolve(client);
      };
      signal.addEventListener("abort", leave, { once: true });
      this.#waiting.push(take);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#lingering.abort();
    await this.#opening;
    this.#shut();
  }

  /** Why it cannot be opened; null: it is open. */
  async #open(): Promise<string | null> {
    if (this.#server?.listening === true) return null;
    const { address, port = EXEC_PORT, listen, logger } = this.#options;
    if (address === null) return "The operator of this platform has turned SSH for the official CLI off.";
    // Our own router may stand on port 80 of every address, and that both may is said by both; so somebody else's would not be noticed.
    if (listenerOn(await listenersNow(), address, port) !== undefined)
      return `Another program listens on port ${port} of ${address} already.`;
    let code: string;
    try {
      const server = await listen(address, port, (client) => this.#take(client));
      server.on("error", () => {}); // accepting failed, for want of descriptors: the next may succeed
      this.#server = server;
      return null;
    } catch (error) {
      code = (error as NodeJS.ErrnoException).code ?? "unknown";
    }
    logger.warn("ssh.door_not_opened", { address, port, code });
    if (code !== "EADDRINUSE")
      return `Port ${port} of ${address} cannot be opened on the platform's machine (${code}).`;
    return `Another program has port ${port} of the platform's machine to itself.`;
  }

  #take(client: Socket): void {
    client.on("error", () => {}); // it went; told by `close`
    client.setNoDelay(true);
    const next = this.#waiting.shift();
    if (next) next(client);
    else if (this.#come.length < COME_MAX) this.#come.push(client);
    else client.destroy();
  }

  #linger(): void {
    this.#lingering.abort();
    this.#lingering = new AbortController();
    this.#options.clock.sleep(LINGER_MS, this.#lingering.signal).then(
      () => this.#waiting.length === 0 && this.#shut(),
      () => {}, // somebody asked again
    );
  }

  #shut(): void {
    this.#server?.close();
    this.#server = undefined;
    for (const client of this.#come.splice(0)) client.destroy();
  }
}

/** The kernel's table of TCP sockets; empty where it cannot be read: then the opening itself tells. */
export function listenersNow(): Promise<string> {
  return readFile("/proc/net/tcp", "utf8").catch(() => "");
}

const LISTENING = "0A";

/**
 * The inode of the socket that listens on exactly this address and port. `table`: `/proc/net/tcp`, which writes 127.1.2.3:80 as
 * `0302017F:0050`. Pure.
 */
export function listenerOn(table: string, address: string, port: number): string | undefined {
  const hex = (value: number, digits: number) => value.toString(16).toUpperCase().padStart(digits, "0");
  const bytes = address.split(".").map((part) => hex(Number(part), 2));
  const wanted = `${bytes.toReversed().join("")}:${hex(port, 4)}`;
  const lines = table.split("\n").map((line) => line.trim().split(/\s+/));
  return lines.find(([, local, , state]) => local === wanted && state === LISTENING)?.[9];
}
