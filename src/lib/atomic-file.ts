import { type FileHandle, open, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";

export interface AtomicFileOptions {
  /** Mode of the new file (default 0600). */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

/**
 * Replaces `path` as one step: written beside, flushed to disk, renamed, and the folder flushed.
 * A crash at any instant leaves the old content or the new, never a part.
 */
export async function writeFileAtomic(
  path: string,
  content: string | Uint8Array,
  options: AtomicFileOptions = {},
): Promise<void> {
  const beside = `${path}.${process.pid}.${counter++}.tmp`;
  try {
    await using file = await open(beside, "wx", options.mode ?? 0o600);
    await writeAll(file, content, options);
    await rename(beside, path);
  } catch (error) {
    await unlink(beside).catch(() => {}); // it may never have been made
    throw error;
  }
  await syncFolder(dirname(path));
}

let counter = 0;

async function writeAll(file: FileHandle, content: string | Uint8Array, options: AtomicFileOptions): Promise<void> {
  await file.writeFile(content);
  if (options.uid !== undefined && options.gid !== undefined) await file.chown(options.uid, options.gid);
  if (options.mode !== undefined) await file.chmod(options.mode); // the umask must not decide
  await file.sync();
}

/** Makes renames and new names in `folder` survive a power loss. */
export async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, "r");
  await handle.sync();
}
