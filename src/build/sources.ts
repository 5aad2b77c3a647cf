import { createReadStream } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Clock, Instant } from "../lib/clock.ts";
import type { Random } from "../lib/random.ts";
import { UUID_TEXT } from "../lib/uuid.ts";
import { PlatformError } from "../model/errors.ts";

/** Bytes of one archive, as much as a build fetches; and of all that lie here at one time. */
const LIMITS = { one: 1024 ** 3, all: 8 * 1024 ** 3 };
/** From its URL's making on, it may be uploaded and read for this long. */
export const SOURCE_MS = 60 * 60_000;
/** And lies here for so long, for builds that were ordered and wait for their turn. */
const KEPT_MS = 2 * SOURCE_MS;
const NAME = new RegExp(`^(\\d{1,16})-${UUID_TEXT}$`);

/** Archives that clients uploaded to be built, one file each. Names are ours, and say how old they are. */
export class SourceFiles {
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #limits: typeof LIMITS;
  #counter = 0;
  /** Bytes of uploads under way. */
  #coming = 0;

  private constructor(folder: string, clock: Clock, random: Random, limits: typeof LIMITS) {
    this.#folder = folder;
    this.#clock = clock;
    this.#random = random;
    this.#limits = limits;
  }

  /** Also removes what a killed daemon left half written, and what is too old. */
  static async open(folder: string, clock: Clock, random: Random, limits = LIMITS): Promise<SourceFiles> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const files = new SourceFiles(folder, clock, random, limits);
    await files.sweep(true);
    return files;
  }

  /** A name for an archive to come. */
  mint(): string {
    return `${this.#clock.now()}-${this.#random.uuid()}`;
  }

  isFresh(name: string): boolean {
    const made = madeAt(name);
    return made !== undefined && this.#clock.now() - made < SOURCE_MS;
  }

  /** The archive is on disk, whole, once this has resolved. Throws `PlatformError`. */
  async receive(name: string, body: AsyncIterable<Uint8Array>): Promise<void> {
    if (madeAt(name) === undefined) throw new Error(`no name of a source: ${name}`);
    await this.sweep();
    const { one, all } = this.#limits;
    const room = all - (await this.#used());
    const partial = join(this.#folder, `${process.pid}-${this.#counter++}.partial`);
    let bytes = 0;
    const counted = async function* (this: SourceFiles): AsyncGenerator<Uint8Array> {
      for await (const chunk of body) {
        bytes += chunk.length;
        this.#coming += chunk.length;
        if (bytes > one)
          throw new PlatformError("payload_too_large", `An archive may have ${one / 1024 ** 2} MB at most.`);
        if (this.#coming > room)
          throw new PlatformError("service_unavailable", "The place for uploads is full; try again in an hour.");
        yield chunk;
      }
    };
    try {
      const file = await open(partial, "wx", 0o600); // before the stream: one that fails early would make it after the `rm`
      await pipeline(counted.call(this), file.createWriteStream({ flush: true }));
      await rename(partial, join(this.#folder, name));
    } finally {
      this.#coming -= bytes;
      await rm(partial, { force: true });
    }
  }

  async has(name: string): Promise<boolean> {
    return madeAt(name) !== undefined && (await readdir(this.#folder)).includes(name);
  }

  /** Fails as a stream when it is not there. */
  read(name: string): Readable {
    if (madeAt(name) === undefined) throw new Error(`no name of a source: ${name}`);
    return createReadStream(join(this.#folder, name));
  }

  async remove(name: string): Promise<void> {
    if (madeAt(name) !== undefined) await rm(join(this.#folder, name), { force: true });
  }

  /** Removes what is too old; with `partial` also what was half written. */
  async sweep(partial = false): Promise<void> {
    const now = this.#clock.now();
    for (const name of await readdir(this.#folder)) {
      const made = madeAt(name);
      const isOld = made === undefined ? partial : now - made > KEPT_MS;
      if (isOld) await rm(join(this.#folder, name), { force: true });
    }
  }

  async #used(): Promise<number> {
    const names = (await readdir(this.#folder)).filter((name) => madeAt(name) !== undefined);
    const sizes = await Promise.all(
      names.map((name) =>
        stat(join(this.#folder, name)).then(
          ({ size }) => size,
          () => 0, // gone meanwhile
        ),
      ),
    );
    return sizes.reduce((sum, size) => sum + size, 0);
  }
}

function madeAt(name: string): Instant | undefined {
  const [, text] = NAME.exec(name) ?? [];
  return text === undefined ? undefined : Number(text);
}
