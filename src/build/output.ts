import { EventEmitter } from "node:events";
import { type FileHandle, mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { UUID } from "../lib/uuid.ts";

/** More than this of one build's, or release command's, output is not kept (the pusher still sees it). */
export const OUTPUT_BYTES_MAX = 8 * 1024 * 1024;
/** Outputs of the newest builds, and of release commands, that are kept on disk, over all apps. */
const KEPT = 2000;
const PIECE_BYTES = 64 * 1024;

/** What builds said, one file each: to be read while it grows, and again after the end. */
export class BuildOutputs {
  readonly #folder: string;
  readonly #open = new Map<string, BuildOutput>();

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async open(folder: string): Promise<BuildOutputs> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const outputs = new BuildOutputs(folder);
    await trimFolder(folder);
    return outputs;
  }

  async create(buildId: string): Promise<BuildOutput> {
    const file = await open(this.#path(buildId), "a", 0o600);
    const output = new BuildOutput(file, () => this.#open.delete(buildId));
    this.#open.set(buildId, output);
    return output;
  }

  /** All that the build said and will say; undefined if nothing is kept of it. */
  async stream(buildId: string): Promise<Readable | undefined> {
    if (!UUID.test(buildId)) return undefined;
    const live = this.#open.get(buildId);
    const file = await open(this.#path(buildId), "r").catch(() => undefined); // unknown, or long gone
    return file && Readable.from(follow(file, live), { objectMode: false });
  }

  #path(buildId: string): string {
    if (!UUID.test(buildId)) throw new Error(`no build id: ${buildId}`);
    return join(this.#folder, `${buildId}.txt`);
  }
}

/** Keeps the newest files of a folder of outputs. */
export async function trimFolder(folder: string): Promise<void> {
  const names = await readdir(folder);
  if (names.length <= KEPT) return;
  const files = await Promise.all(names.map(async (name) => ({ name, at: (await stat(join(folder, name))).mtimeMs })));
  const old = files.sort((a, b) => b.at - a.at).slice(KEPT);
  await Promise.all(old.map(({ name }) => rm(join(folder, name), { force: true })));
}

export class BuildOutput {
  readonly #file: FileHandle;
  readonly #changes = new EventEmitter().setMaxListeners(0);
  readonly #closed: () => void;
  #written = 0;
  #done = false;
  #queue: Promise<void> = Promise.resolve();

  constructor(file: FileHandle, closed: () => void) {
    this.#file = file;
    this.#closed = closed;
  }

  get done(): boolean {
    return this.#done;
  }

  append(bytes: Uint8Array | string): void {
    const all = typeof bytes === "string" ? Buffer.from(bytes) : bytes;
    const room = OUTPUT_BYTES_MAX - this.#written;
    if (this.#done || room <= 0) return;
    this.#written += all.length;
    const kept =
      all.length < room ? all : Buffer.concat([all.subarray(0, room), Buffer.from("\n[the rest was not kept]\n")]);
    this.#queue = this.#queue
      .then(() => this.#file.appendFile(kept))
      .catch(() => {}) // a full disk must not end a build
      .finally(() => this.#changes.emit("change"));
  }

  async close(): Promise<void> {
    await this.#queue;
    this.#done = true;
    this.#closed();
    await this.#file.close();
    this.#changes.emit("change");
  }

  /** Resolves at the next change; at once if there can be none. */
  changed(): Promise<void> {
    if (this.#done) return Promise.resolve();
    return new Promise((resolve) => this.#changes.once("change", resolve));
  }
}

async function* follow(file: FileHandle, live: BuildOutput | undefined): AsyncGenerator<Buffer> {
  try {
    for (;;) {
      const finished = live?.done ?? true;
      const change = live?.changed();
      const { bytesRead, buffer } = await file.read(Buffer.alloc(PIECE_BYTES));
      if (bytesRead > 0) yield buffer.subarray(0, bytesRead);
      else if (finished) return;
      else await change;
    }
  } finally {
    await file.close();
  }
}
