import { createServer, type Server, type Socket } from "node:net";
import { Duplex, PassThrough, Readable } from "node:stream";
import type { ByteStream } from "../engine/engine.ts";
import { PlatformError } from "../model/errors.ts";
import type { DynoFile, DynoProcess, Endpoint, SessionRequest, Sessions, Window } from "../run/sessions.ts";
import type { Door } from "./door.ts";

/** For tests: whoever connects to a free port of this machine comes in. */
export class FakeDoor implements Door, AsyncDisposable {
  readonly #server: Server;
  readonly #waiting: ((socket: Socket) => void)[] = [];
  readonly #come: Socket[] = [];
  readonly #all = new Set<Socket>();
  why: string | null = null;

  private constructor(server: Server) {
    this.#server = server;
    server.on("connection", (socket) => {
      this.#all.add(socket);
      socket.on("error", () => {}); // sent away
      const next = this.#waiting.shift();
      if (next) next(socket);
      else this.#come.push(socket);
    });
  }

  static async open(): Promise<FakeDoor> {
    const server = createServer({ noDelay: true });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new FakeDoor(server);
  }

  get port(): number {
    return (this.#server.address() as { readonly port: number }).port; // it listens
  }

  /** Who waits for somebody to come in. */
  get waiting(): number {
    return this.#waiting.length;
  }

  async refusal(): Promise<string | null> {
    return this.why;
  }

  next(signal: AbortSignal): Promise<Duplex> {
    const come = this.#come.shift();
    if (come) return Promise.resolve(come);
    return new Promise((resolve, reject) => {
      this.#waiting.push(resolve);
      signal.addEventListener("abort", () => {
        const at = this.#waiting.indexOf(resolve);
        if (at >= 0) this.#waiting.splice(at, 1);
        reject(new Error("aborted"));
      });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#all) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** For tests: what runs in a dyno, played by streams. */
export class FakeSessions implements Pick<Sessions, "open" | "connect" | "readFile"> {
  readonly asked: string[] = [];
  readonly opened: (SessionRequest & { readonly dynoId: string })[] = [];
  readonly windows: Window[] = [];
  readonly signals: string[] = [];
  readonly files = new Map<string, Buffer>();
  closed = 0;

  /** `cat` echoes until its input ends, `bash` too after a prompt; `flood` writes for ever, `flood errors` to its standard error; `quiet` reads nothing; of `unseen` nobody sees the end; the rest says what it is and ends with 7. */
  async open(dynoId: string, request: SessionRequest): Promise<DynoProcess> {
    const command = typeof request.command === "string" ? request.command : request.command.join(" ");
    if (command === "refused") throw new PlatformError("not_found", "That dyno does not run.");
    this.opened.push({ ...request, dynoId });
    const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
    const exited = Promise.withResolvers<number | null>();
    const end = (status: number | null) => {
      stdout.end();
      stderr.end();
      exited.resolve(status);
    };
    if (command === "cat" || command === "bash") {
      if (command === "bash") stdout.write("$ ");
      stdin.on("data", (chunk: Buffer) => {
        stdout.write(chunk);
        if (chunk.includes(4)) end(0);
      });
      stdin.on("end", () => end(0));
    } else if (command.startsWith("flood")) {
      const into = command === "flood" ? stdout : stderr;
      const flood = async () => {
        while (!into.destroyed && into.writable) {
          if (!into.write(Buffer.alloc(64 * 1024))) await new Promise((resolve) => into.once("drain", resolve));
          this.flooded += 64 * 1024;
        }
      };
      void flood();
    } else if (command !== "quiet") {
      stdout.write(`out ${command}`);
      stderr.write("err");
      end(command === "unseen" ? null : 7);
    }
    return {
      stdin,
      stdout,
      stderr,
      exited: exited.promise,
      resize: (window) => void this.windows.push(window),
      signal: (name) => void this.signals.push(name),
      close: () => {
        this.closed++;
        end(null);
      },
    };
  }
  flooded = 0;

  /** Says to whom it would have been connected, and then everything back. */
  async connect(dynoId: string, { host, port }: Endpoint): Promise<ByteStream> {
    this.asked.push(`connect ${dynoId} ${host}:${port}`);
    if (port === 9) throw new PlatformError("invalid_params", "connection refused");
    const through = new PassThrough();
    through.write(`${host}:${port}\n`);
    return { readable: through, writable: through, close: () => through.destroy() };
  }

  async readFile(dynoId: string, path: string): Promise<DynoFile> {
    this.asked.push(`read ${dynoId} ${path}`);
    const bytes = this.files.get(path);
    if (bytes === undefined) throw new PlatformError("invalid_params", `${path}: No such file or directory`);
    const chunks = Array.from({ length: Math.ceil(bytes.length / 50_000) }, (_, at) =>
      bytes.subarray(at * 50_000, (at + 1) * 50_000),
    );
    return { bytes: bytes.length, mode: 0o640, modifiedAt: 1_700_000_000_000, content: Readable.from(chunks) };
  }
}
