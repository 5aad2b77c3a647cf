import { chmod, chown, mkdir, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { aborted } from "../../lib/abort.ts";
import { type ByteStream, EngineError } from "../engine.ts";

/**
 * The socket of a build dyno: the host process listens, the program inside connects, once. The folder is root's, so that
 * nobody can put something else in its place.
 */
export class IoSocket {
  readonly #server: Server;
  readonly #connected: Promise<Socket>;
  #given = false;

  static async listen(folder: string, owner: number): Promise<IoSocket> {
    await mkdir(folder, { recursive: true, mode: 0o755 });
    await chmod(folder, 0o755);
    const path = join(folder, "io.sock");
    await rm(path, { force: true });
    const server = createServer({ allowHalfOpen: true });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
    await chmod(path, 0o600);
    await chown(path, owner, owner);
    return new IoSocket(server);
  }

  private constructor(server: Server) {
    this.#server = server;
    this.#connected = new Promise((resolve, reject) => {
      server.once("connection", (socket) => {
        server.on("connection", (another) => another.destroy());
        socket.on("error", () => {}); // whoever holds the stream sees it end
        resolve(socket);
      });
      server.once("close", () => reject(new EngineError("not_found", "The dyno has ended.")));
    });
    this.#connected.catch(() => {}); // nobody may ever ask
  }

  /** The stream, once the program has connected; given once. */
  async stream(signal: AbortSignal): Promise<ByteStream> {
    const socket = await Promise.race([this.#connected, aborted(signal)]);
    signal.throwIfAborted();
    if (this.#given || socket === undefined)
      throw new EngineError("invalid", "The dyno's stream was given to another caller.");
    this.#given = true;
    return { readable: socket, writable: socket, close: () => socket.destroy() };
  }

  /** Bytes under way are still delivered. */
  close(): void {
    this.#server.close();
  }
}
