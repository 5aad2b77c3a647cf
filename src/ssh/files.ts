import { posix } from "node:path";
import type { Readable } from "node:stream";
import type { Attributes, FileEntry } from "ssh2";
import { PlatformError } from "../model/errors.ts";
import type { DynoFile } from "../run/sessions.ts";
import type { Stage } from "./stage.ts";

/** What we use of the library's SFTP channel, whose server side its types do not have. */
export interface SftpChannel {
  on(event: string, listener: (request: number, ...rest: never[]) => void): unknown;
  status(request: number, code: number, message?: string): void;
  handle(request: number, handle: Buffer): void;
  data(request: number, data: Buffer): void;
  attrs(request: number, attributes: Attributes): void;
  name(request: number, names: FileEntry[]): void;
  end(): void;
}

interface OpenFile {
  readonly path: string;
  file: DynoFile;
  /** Where the next byte of `rest` and of the stream lies. */
  at: number;
  rest: Buffer;
  chunks: AsyncIterator<unknown>;
  restarts: number;
  /** One request at a time, in their order. */
  turn: Promise<void>;
  waiting: number;
}

/** `ps:copy` has up to 64 reads under way. */
const WAITING_MAX = 256;
const OPEN_MAX = 8;
const READ_BYTES_MAX = 256 * 1024;
/** A file is read from its beginning on; how often a client may go back. */
const RESTARTS_MAX = 16;
const REGULAR = 0o100_000;
const DIRECTORY = 0o040_000;
const PATH_MAX = 4096;
const HOME = "/app";

/**
 * Reading files of the dyno by SFTP: what `ps:copy` asks for, and what `sftp` and `scp` ask for on the way there. Nothing is written
 * and no folder is listed: the library refuses what nobody listens for.
 */
export function serveFiles(sftp: SftpChannel, stage: Stage): void {
  const { sessions, tunnel, guest, gone, logger, drained } = stage;
  const { OPEN_MODE, STATUS_CODE } = stage.sftpCodes;
  const open = new Map<number, OpenFile>();
  let count = 0;
  let asked = 0;

  sftp.on("OPEN", (request, name: string, flags: number) => {
    if ((flags & ~OPEN_MODE.READ) !== 0)
      return sftp.status(request, STATUS_CODE.PERMISSION_DENIED, "Files are read only here.");
    return void attempt(request, async () => {
      if (open.size >= OPEN_MAX) return sftp.status(request, STATUS_CODE.FAILURE, "Too many open files.");
      const path = pathOf(name);
      await guest.note({ file: path });
      const file = await sessions.readFile(tunnel.dynoId, path, gone);
      const opened = { path, file, ...begun(file.content), restarts: 0, turn: Promise.resolve(), waiting: 0 };
      const id = count++;
      open.set(id, opened);
      const handle = Buffer.alloc(4);
      handle.writeUInt32BE(id);
      return sftp.handle(request, handle);
    });
  });
  sftp.on("READ", (request, handle: Buffer, offset: number, length: number) => {
    const opened = openedBy(handle);
    if (opened === undefined || opened.waiting >= WAITING_MAX)
      return sftp.status(request, STATUS_CODE.FAILURE, "No such handle, or too many requests at once.");
    opened.waiting++;
    opened.turn = opened.turn.then(async () => {
      await attempt(request, async () => {
        const bytes = await readAt(opened, offset, Math.min(length, READ_BYTES_MAX));
        await drained();
        if (bytes.length === 0) sftp.status(request, STATUS_CODE.EOF);
        else sftp.data(request, bytes);
      });
      opened.waiting--;
    });
    return undefined;
  });
  sftp.on("FSTAT", (request, handle: Buffer) => {
    const opened = openedBy(handle);
    if (opened === undefined) return sftp.status(request, STATUS_CODE.FAILURE, "No such handle.");
    return sftp.attrs(request, attributesOf(opened.file));
  });
  sftp.on("CLOSE", (request, handle: Buffer) => {
    const opened = openedBy(handle);
    if (opened === undefined) return sftp.status(request, STATUS_CODE.FAILURE, "No such handle.");
    open.delete(handle.readUInt32BE());
    opened.file.content.destroy();
    return sftp.status(request, STATUS_CODE.OK);
  });
  const stat = (request: number, name: string) =>
    void attempt(request, async () => {
      const path = pathOf(name);
      if (path === HOME || path === "/") return sftp.attrs(request, { ...NOBODY, mode: DIRECTORY | 0o755, size: 0 });
      const file = await sessions.readFile(tunnel.dynoId, path, gone);
      file.content.destroy();
      return sftp.attrs(request, attributesOf(file));
    });
  sftp.on("STAT", stat);
  sftp.on("LSTAT", stat);
  sftp.on("REALPATH", (request, name: string) => {
    void attempt(request, async () => {
      const filename = pathOf(name);
      sftp.name(request, [{ filename, longname: filename, attrs: { ...NOBODY, mode: 0, size: 0 } }]);
    });
  });
  gone.addEventListener("abort", closeAll, { once: true });
  sftp.on("error", () => sftp.end()); // it spoke something else
  sftp.on("end", () => {
    closeAll();
    sftp.end(); // OpenSSH's own clients wait for it
  });

  function closeAll(): void {
    for (const { file } of open.values()) file.content.destroy();
    open.clear();
  }

  /** Does it, and answers with the reason where it cannot be done. */
  async function attempt(request: number, body: () => Promise<void>): Promise<void> {
    if (asked >= WAITING_MAX) return sftp.status(request, STATUS_CODE.FAILURE, "Too many requests at once.");
    asked++;
    try {
      await body();
    } catch (error) {
      if (gone.aborted) return;
      if (!(error instanceof PlatformError)) logger.warn("ssh.copy_failed", { error });
      const isGone = error instanceof PlatformError && /no such file/i.test(error.message);
      const message = error instanceof PlatformError ? error.message : "The file could not be read.";
      sftp.status(request, isGone ? STATUS_CODE.NO_SUCH_FILE : STATUS_CODE.FAILURE, message);
    } finally {
      asked--;
    }
  }

  function openedBy(handle: Buffer): OpenFile | undefined {
    return handle.length === 4 ? open.get(handle.readUInt32BE()) : undefined;
  }

  /** `length` bytes from `offset` on; fewer at the file's end alone. */
  async function readAt(opened: OpenFile, offset: number, length: number): Promise<Buffer> {
    if (offset < opened.at) await restart(opened);
    while (opened.at + opened.rest.length <= offset && (await readMore(opened))) {
      const skipped = Math.min(opened.rest.length, offset - opened.at);
      opened.rest = opened.rest.subarray(skipped);
      opened.at += skipped;
    }
    const begin = offset - opened.at;
    if (begin > opened.rest.length) return Buffer.alloc(0); // beyond its end
    while (opened.rest.length - begin < length && (await readMore(opened)));
    const bytes = opened.rest.subarray(begin, begin + length);
    opened.rest = opened.rest.subarray(begin + bytes.length);
    opened.at += begin + bytes.length;
    return bytes;
  }

  async function readMore(opened: OpenFile): Promise<boolean> {
    const { done, value } = await opened.chunks.next();
    if (done === true) return false;
    opened.rest = opened.rest.length === 0 ? (value as Buffer) : Buffer.concat([opened.rest, value as Buffer]); // no encoding is set
    return true;
  }

  async function restart(opened: OpenFile): Promise<void> {
    if (++opened.restarts > RESTARTS_MAX)
      throw new PlatformError("invalid_params", "A file can be read from its beginning to its end only.");
    opened.file.content.destroy();
    const file = await sessions.readFile(tunnel.dynoId, opened.path, gone);
    Object.assign(opened, { file, ...begun(file.content) });
  }
}

function begun(content: Readable): Pick<OpenFile, "at" | "rest" | "chunks"> {
  content.on("error", () => {}); // told to who reads it next
  return { at: 0, rest: Buffer.alloc(0), chunks: content[Symbol.asyncIterator]() };
}

const NOBODY = { uid: 0, gid: 0, atime: 0, mtime: 0 };

function attributesOf({ bytes, mode, modifiedAt }: DynoFile): Attributes {
  const seconds = Math.floor(modifiedAt / 1000);
  return { ...NOBODY, mode: REGULAR | (mode & 0o777), size: bytes, atime: seconds, mtime: seconds };
}

/** Relative to `/app`, as a dyno's own processes are. */
function pathOf(name: string): string {
  if (Buffer.byteLength(name) > PATH_MAX || name.includes("\0"))
    throw new PlatformError("invalid_params", "That is no name of a file.");
  return posix.resolve(HOME, name);
}
