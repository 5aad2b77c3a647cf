import { constants } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { StringDecoder } from "node:string_decoder";
import type { Clock, Instant } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Random } from "../lib/random.ts";
import { UUID_TEXT } from "../lib/uuid.ts";
import type { Store } from "../store/store.ts";
import type { Window } from "./sessions.ts";

/** Of one session; what comes after it is not kept. */
export const RECORDING_BYTES_MAX = 4 * 1024 * 1024;
/** Of one app; the oldest go first. */
export const RECORDINGS_MAX = 100;
export const RECORDING_DAYS = 30;
/** What the person in a recorded session is told before all else. */
export const RECORDED_NOTICE = "This session is recorded: what it shows can be seen by those who manage the app.";

const DAY_MS = 86_400_000;
/** A head holds a command, which is cut to this. */
const COMMAND_TOLD = 1000;
const HEAD_BYTES_MAX = 16 * 1024;
/** Enough of the end to find how the session ended. */
const TAIL_BYTES = 512;
const FILE = new RegExp(`^(${UUID_TEXT})[.]cast$`);
const DEFAULT_WINDOW: Window = { rows: 24, columns: 80 };

/** Whose session it is, and what runs in it. */
export interface RecordedSession {
  readonly appId: string;
  readonly dyno: string;
  readonly command: string;
  readonly userEmail: string;
  readonly terminal: Window | null;
}

export interface RecordingFacts extends Omit<RecordedSession, "appId" | "terminal"> {
  readonly id: string;
  readonly startedAt: Instant;
  /** When it was written last. */
  readonly changedAt: Instant;
  readonly bytes: number;
  /** null: it goes on, or broke off. */
  readonly exitStatus: number | null;
}

export interface RecordingOptions {
  /** A folder for each app in it, a file for each session in that. */
  readonly folder: string;
  readonly store: Pick<Store, "apps" | "recordedApps">;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/**
 * Sessions of people, written to disk as they show themselves (asciicast v2) where the app's owner turned that on: output and resizes,
 * never input, since that holds the passwords which programs do not show. A line is written whole, so that what a killed
 * daemon leaves is a recording with at most half a last line.
 */
export class Recordings {
  readonly #options: RecordingOptions;

  constructor(options: RecordingOptions) {
    this.#options = options;
  }

  /** undefined: the app's sessions are not recorded. Throws where one that should be recorded cannot be. */
  async begin(session: RecordedSession): Promise<Recording | undefined> {
    const { store, clock, random, logger } = this.#options;
    if (!(await store.recordedApps.has(session.appId))) return undefined;
    const folder = this.#folderOf(session.appId);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await this.#dropOld(session.appId, RECORDINGS_MAX - 1);
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_APPEND;
    const file = await open(join(folder, `${random.uuid()}.cast`), flags, 0o600);
    return Recording.begin(file, session, clock, logger);
  }

  /** Newest first. */
  async list(appId: string): Promise<readonly RecordingFacts[]> {
    await this.#dropOld(appId, RECORDINGS_MAX);
    const all = await Promise.all((await this.#idsOf(appId)).map((id) => this.get(appId, id)));
    return all.filter((each) => each !== undefined).sort((one, other) => other.startedAt - one.startedAt);
  }

  /** undefined: there is none, or its first line is not whole. */
  async get(appId: string, id: string): Promise<RecordingFacts | undefined> {
    const file = await this.#open(appId, id);
    if (file === undefined) return undefined;
    try {
      const { size, mtimeMs } = await file.stat();
      const facts = headOf(await textAt(file, 0, HEAD_BYTES_MAX));
      const tail = await textAt(file, Math.max(0, size - TAIL_BYTES), TAIL_BYTES);
      return facts && { id, ...facts, changedAt: Math.round(mtimeMs), bytes: size, exitStatus: exitIn(tail) };
    } finally {
      await file.close();
    }
  }

  /** The asciicast; undefined: there is none. */
  async read(appId: string, id: string): Promise<AsyncIterable<Uint8Array> | undefined> {
    const file = await this.#open(appId, id);
    return file?.createReadStream({ end: RECORDING_BYTES_MAX * 2 });
  }

  /** False if there was none. */
  async remove(appId: string, id: string): Promise<boolean> {
    if (!(await this.#idsOf(appId)).includes(id)) return false;
    await rm(this.#path(appId, id), { force: true });
    return true;
  }

  /** Of an app that was destroyed. */
  async removeApp(appId: string): Promise<void> {
    await rm(this.#folderOf(appId), { recursive: true, force: true });
  }

  /** Those of apps that are no more, and old ones: the daemon may have been killed before it could. */
  async sweep(): Promise<void> {
    const names = await readdir(this.#options.folder).catch(() => []); // nothing was ever recorded
    for (const appId of names) {
      if ((await this.#options.store.apps.byId(appId)) === undefined) await this.removeApp(appId);
      else await this.#dropOld(appId, RECORDINGS_MAX);
    }
  }

  async #dropOld(appId: string, keep: number): Promise<void> {
    const files = await Promise.all(
      (await this.#idsOf(appId)).map(async (id) => {
        const facts = await stat(this.#path(appId, id)).catch(() => undefined); // removed meanwhile
        return { id, at: facts?.mtimeMs ?? 0 };
      }),
    );
    const oldest = this.#options.clock.now() - RECORDING_DAYS * DAY_MS;
    const newestFirst = files.sort((one, other) => other.at - one.at);
    for (const [place, { id, at }] of newestFirst.entries())
      if (place >= keep || at < oldest) await rm(this.#path(appId, id), { force: true });
  }

  async #idsOf(appId: string): Promise<readonly string[]> {
    const names = await readdir(this.#folderOf(appId)).catch(() => []); // it has none
    return names.flatMap((name) => FILE.exec(name)?.[1] ?? []);
  }

  async #open(appId: string, id: string): Promise<FileHandle | undefined> {
    if (!(await this.#idsOf(appId)).includes(id)) return undefined;
    return open(this.#path(appId, id), "r").catch(() => undefined); // removed meanwhile
  }

  #folderOf(appId: string): string {
    return join(this.#options.folder, appId);
  }

  #path(appId: string, id: string): string {
    return join(this.#folderOf(appId), `${id}.cast`);
  }
}

/** One session that goes on. Calls are made one after the other. */
export class Recording {
  readonly #file: FileHandle;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #startedAt: Instant;
  #bytes = 0;
  #work: Promise<void> = Promise.resolve();
  #isOver = false;

  static async begin(file: FileHandle, session: RecordedSession, clock: Clock, logger: Logger): Promise<Recording> {
    const { dyno, command, userEmail, terminal } = session;
    const { rows, columns } = terminal ?? DEFAULT_WINDOW;
    const startedAt = clock.now();
    const head = {
      version: 2,
      width: columns,
      height: rows,
      timestamp: Math.floor(startedAt / 1000),
      title: `${dyno}, ${userEmail}`,
      command: command.slice(0, COMMAND_TOLD),
      stator: { dyno, user: userEmail, started_at: startedAt }, // players pass over what they do not know
    };
    const recording = new Recording(file, startedAt, clock, logger);
    await recording.#write(JSON.stringify(head));
    return recording;
  }

  private constructor(file: FileHandle, startedAt: Instant, clock: Clock, logger: Logger) {
    this.#file = file;
    this.#startedAt = startedAt;
    this.#clock = clock;
    this.#logger = logger;
  }

  /**
   * Keeps the chunks of one stream, in which letters may be cut anywhere. Resolved: it is with the kernel, and may be shown. Rejects
   * where it cannot be kept: then it must not be shown.
   */
  output(): (chunk: Uint8Array) => Promise<void> {
    const decoder = new StringDecoder("utf8");
    return async (chunk) => {
      const text = decoder.write(chunk);
      if (text !== "") await this.#event("o", text);
    };
  }

  resize({ rows, columns }: Window): Promise<void> {
    return this.#event("r", `${columns}x${rows}`);
  }

  /** null: nobody saw how it ended. Never rejects. */
  async end(status: number | null): Promise<void> {
    if (this.#isOver) return;
    try {
      if (status !== null && this.#bytes < RECORDING_BYTES_MAX) await this.#event("m", `exit ${status}`);
    } catch (error) {
      this.#logger.warn("recording.failed", { error });
    } finally {
      this.#isOver = true;
      await this.#work.catch(() => {}); // told to whoever wrote it
      await this.#file.close().catch(() => {}); // a disk that fails
    }
  }

  async #event(type: "o" | "r" | "m", data: string): Promise<void> {
    if (this.#isOver || this.#bytes >= RECORDING_BYTES_MAX) return;
    const seconds = Math.max(0, this.#clock.now() - this.#startedAt) / 1000;
    await this.#write(JSON.stringify([seconds, type, data]));
    if (this.#bytes >= RECORDING_BYTES_MAX)
      await this.#write(JSON.stringify([seconds, "m", `no more than ${RECORDING_BYTES_MAX} bytes are kept`]));
  }

  #write(line: string): Promise<void> {
    const bytes = Buffer.from(`${line}\n`);
    this.#bytes += bytes.length;
    const work = this.#work.catch(() => {}).then(() => this.#file.appendFile(bytes)); // told to whoever wrote that
    this.#work = work;
    work.catch(() => {}); // awaited by the caller
    return work;
  }
}

interface Head {
  readonly command?: unknown;
  readonly stator?: { readonly dyno?: unknown; readonly user?: unknown; readonly started_at?: unknown };
}

function headOf(text: string): Pick<RecordingFacts, "dyno" | "command" | "userEmail" | "startedAt"> | undefined {
  try {
    const { command, stator } = JSON.parse(text.slice(0, text.indexOf("\n"))) as Head; // checked below
    const { dyno, user, started_at: startedAt } = stator ?? {};
    if (typeof command !== "string" || typeof dyno !== "string" || typeof user !== "string") return undefined;
    return typeof startedAt === "number" ? { dyno, command, userEmail: user, startedAt } : undefined;
  } catch {
    return undefined; // its first line was never whole
  }
}

function exitIn(tail: string): number | null {
  const status = /,"m","exit (\d{1,3})"\]\n$/.exec(tail)?.[1];
  return status === undefined ? null : Number(status);
}

async function textAt(file: FileHandle, position: number, length: number): Promise<string> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
  return buffer.subarray(0, bytesRead).toString("utf8");
}
