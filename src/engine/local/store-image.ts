import { existsSync } from "node:fs";
import { open, rename, rm, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { detachLoops, unmount } from "./loop.ts";
import { type Mechanism, volumesFolderOf } from "./volume-store.ts";

const BYTES_MAX = 1024 ** 4;
const BYTES_MIN = 1024 ** 3;
/** Of the space that is free when the image is made; it is sparse, and takes what is in it. */
const SHARE_OF_FREE = 0.9;
const MEBIBYTE = 1024 ** 2;

/** What mechanisms have in common that keep all volumes in one image, of this name in the store's folder. */
export function inOneImage(file: string): Pick<Mechanism, "files" | "isThere" | "close" | "discard"> {
  const imageOf = (folder: string): string => join(folder, file);
  return {
    files: file,
    isThere: (folder) => existsSync(imageOf(folder)),
    async close(folder) {
      if (existsSync(imageOf(folder))) await unmount(volumesFolderOf(folder));
    },
    async discard(folder) {
      await this.close(folder);
      if (existsSync(imageOf(folder))) await detachLoops(imageOf(folder));
      for (const each of [imageOf(folder), `${imageOf(folder)}.new`]) await rm(each, { force: true });
    },
  };
}

/** Makes the sparse file that all volumes share. */
export async function makeStoreImage(
  image: string,
  format: (path: string) => Promise<unknown>,
  bytes?: number,
): Promise<void> {
  await makeImage(image, { bytes: bytes ?? (await bytesFor(dirname(image))), format, durable: true });
}

export interface ImageOptions {
  readonly bytes: number;
  /** Makes a file system in the file. */
  readonly format: (path: string) => Promise<unknown>;
  /** Whether it is to be there after a power cut. */
  readonly durable: boolean;
}

/** Makes a sparse file with a file system in it: beside and renamed, so that an image that is there is whole. */
export async function makeImage(image: string, { bytes, format, durable }: ImageOptions): Promise<void> {
  const beside = `${image}.new`;
  await rm(beside, { force: true });
  await using file = await open(beside, "wx", 0o600);
  await file.truncate(bytes);
  await format(beside);
  if (durable) await file.sync();
  await rename(beside, image);
}

async function bytesFor(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  const share = Math.floor((bavail * bsize * SHARE_OF_FREE) / MEBIBYTE) * MEBIBYTE;
  return Math.min(BYTES_MAX, Math.max(BYTES_MIN, share));
}
