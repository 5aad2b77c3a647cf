import { createHash, type Hash } from "node:crypto";
import { createReadStream, createWriteStream, type WriteStream } from "node:fs";
import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { finished, pipeline } from "node:stream/promises";
import { createGunzip, createGzip, type Gzip } from "node:zlib";
import { drained } from "../../buildkit/frames.ts";
import { type Engine, EngineError } from "../engine/engine.ts";
import { addAbortListener } from "../lib/abort.ts";
import { syncFolder } from "../lib/atomic-file.ts";
import type { Clock } from "../lib/clock.ts";
import { Late, within } from "../lib/within.ts";
import { ChecksumError } from "../model/checksum.ts";
import type { Store } from "../store/store.ts";
import type { SlugImages } from "../supervisor/supervision.ts";

/** Compressed (spec 9.2). */
export const SLUG_BYTES_MAX = 500 * 1024 * 1024;
/** Uncompressed: nothing that unpacks to more is taken, however well it compresses. */
export const SLUG_TREE_BYTES_MAX = 4 * 1024 * 1024 * 1024;

export class SlugTooLarge extends Error {
  readonly compressed: boolean;
  constructor(compressed: boolean) {
    super("the slug is too large");
    this.name = "SlugTooLarge";
    this.compressed = compressed;
  }
}

export interface StoredSlug {
  readonly digest: string;
  readonly sizeBytes: number;
}

/** Slugs as `<digest>.tar.gz`; the digest is of the uncompressed tar. */
export class SlugFiles {
  readonly #folder: string;
  #counter = 0;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Also removes what a killed daemon left half written. */
  static async open(folder: string): Promise<SlugFiles> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const partial = (await readdir(folder)).filter((name) => name.endsWith(".partial"));
    await Promise.all(partial.map((name) => rm(join(folder, name))));
    return new SlugFiles(folder);
  }

  receive(): SlugReceiver {
    return new SlugReceiver(this.#folder, join(this.#folder, `${process.pid}-${this.#counter++}.partial`));
  }

  /** The uncompressed tar. Fails as a stream when the file is not there. */
  read(digest: string): Readable {
    if (!/^[0-9a-f]{64}$/.test(digest)) throw new Error(`no digest: ${digest}`);
    const gunzip = createGunzip();
    pipeline(createReadStream(join(this.#folder, `${digest}.tar.gz`)), gunzip).catch((error: unknown) =>
      gunzip.destroy(error instanceof Error ? error : new Error(String(error))),
    );
    return gunzip;
  }

  /** Throws `ChecksumError` unless the file unpacks to what its digest says. What cannot be unpacked counts as far as it can. */
  async verify(digest: string): Promise<void> {
    const hash = createHash("sha256");
    try {
      for await (const chunk of this.read(digest)) hash.update(chunk as Uint8Array); // a byte stream
    } catch (cause) {
      if (!isCorrupt(cause)) throw cause;
      throw new ChecksumError(digest, hash.digest("hex"), cause);
    }
    const actual = hash.digest("hex");
    if (actual !== digest) throw new ChecksumError(digest, actual);
  }
}

function isCorrupt(error: unknown): boolean {
  return error instanceof Error && "code" in error && String(error.code).startsWith("Z_");
}

/** Takes a tar piece by piece, counts, digests and compresses it. Nothing of it is seen before `finish`. */
export class SlugReceiver {
  readonly #folder: string;
  readonly #partial: string;
  readonly #file: WriteStream;
  readonly #gzip: Gzip;
  readonly #hash: Hash = createHash("sha256");
  readonly #written: Promise<void>;
  #bytes = 0;

  constructor(folder: string, partial: string) {
    this.#folder = folder;
    this.#partial = partial;
    this.#file = createWriteStream(partial, { flags: "wx", mode: 0o600, flush: true });
    this.#gzip = createGzip({ level: 1 }); // the pusher waits; better compression takes thrice as long for a tenth
    this.#written = pipeline(this.#gzip, this.#file);
    this.#written.catch(() => {}); // told by `write` or `finish`
  }

  async write(piece: Uint8Array): Promise<void> {
    this.#bytes += piece.length;
    if (this.#bytes > SLUG_TREE_BYTES_MAX) throw new SlugTooLarge(false);
    if (this.#file.bytesWritten > SLUG_BYTES_MAX) throw new SlugTooLarge(true);
    this.#hash.update(piece);
    if (this.#gzip.destroyed) await this.#written;
    if (!this.#gzip.write(piece)) await Promise.race([drained(this.#gzip), this.#written]);
  }

  /** The slug is on disk once this has resolved. */
  async finish(): Promise<StoredSlug> {
    this.#gzip.end();
    await this.#written;
    const { size } = await stat(this.#partial);
    if (size > SLUG_BYTES_MAX) throw new SlugTooLarge(true);
    const digest = this.#hash.digest("hex");
    await rename(this.#partial, join(this.#folder, `${digest}.tar.gz`));
    await syncFolder(this.#folder);
    return { digest, sizeBytes: size };
  }

  /** Forgets what came. Does nothing after `finish`. */
  async abandon(): Promise<void> {
    this.#gzip.destroy();
    this.#file.destroy();
    await finished(this.#file).catch(() => {});
    await rm(this.#partial, { force: true });
  }
}

/** Whatever becomes of it: nobody waits longer for an image. Longer than the engine gives itself. */
const IMAGE_MS = 7 * 60_000;

/** Gives the engine the images of slugs that it lacks; one at a time for each. */
export function slugImages(store: Store, engine: Engine, files: SlugFiles, clock: Clock): SlugImages {
  const underWay = new Map<string, Promise<void>>();
  const put = async (slugId: string, uidIndex: number, signal: AbortSignal): Promise<void> => {
    const slug = await store.slugs.byId(slugId);
    if (!slug) throw new Error(`slug ${slugId} is not in the store`);
    const ref = { digest: slug.digest, uidIndex };
    if (await engine.hasSlug(ref)) return;
    signal.throwIfAborted();
    const tar = files.read(slug.digest);
    using _late = addAbortListener(signal, () => tar.destroy());
    try {
      await engine.putSlug(ref, tar);
    } catch (error) {
      signal.throwIfAborted(); // its caller has been told
      const isAway = error instanceof EngineError && error.id === "unavailable" && tar.errored === null;
      if (!isAway) await files.verify(slug.digest); // R17 rather than the engine's own words for a tar that is not what was said
      throw error;
    } finally {
      tar.destroy();
    }
  };
  const putInTime = async (slugId: string, uidIndex: number): Promise<void> => {
    const late = new AbortController();
    try {
      await within(clock, IMAGE_MS, "slug image", put(slugId, uidIndex, late.signal));
    } catch (error) {
      if (!(error instanceof Late)) throw error;
      throw new EngineError("failed", `The slug's image was not made within ${IMAGE_MS / 60_000} minutes.`, error);
    } finally {
      late.abort();
    }
  };
  return {
    ensure(slugId, uidIndex) {
      const key = `${slugId} ${uidIndex}`;
      const running = underWay.get(key);
      if (running) return running;
      const started = putInTime(slugId, uidIndex).finally(() => underWay.delete(key));
      underWay.set(key, started);
      return started;
    },
  };
}
