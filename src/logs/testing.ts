import { closeSync, existsSync, openSync, renameSync, unlinkSync, writeSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RawStream } from "./raw-record.ts";

/** A raw log as conmon and the host make it, for tests. */
export class RawWriter implements Disposable {
  readonly #path: string;
  #descriptor: number;
  #segment = 1;
  /** Nanoseconds below the second of the next record. */
  #nanos = 0;

  constructor(folder: string, dynoId: string) {
    this.#path = join(folder, `${dynoId}.log`);
    this.#descriptor = openSync(this.#path, "a", 0o640);
  }

  /** One record; of several texts one write of several records. */
  write(...texts: readonly string[]): void {
    this.bytes(texts.map((text) => this.record(text)).join(""));
  }

  /** A piece of a line that goes on. */
  piece(text: string, stream: RawStream = "stdout"): void {
    this.bytes(this.record(text, stream, "P"));
  }

  record(text: string, stream: RawStream = "stdout", tag: "F" | "P" = "F"): string {
    this.#nanos = (this.#nanos + 1_001) % 1_000_000_000;
    return `2026-01-02T03:04:05.${String(this.#nanos).padStart(9, "0")}+00:00 ${stream} ${tag} ${text}\n`;
  }

  bytes(bytes: string | Uint8Array): void {
    writeSync(this.#descriptor, typeof bytes === "string" ? Buffer.from(bytes) : bytes);
  }

  /** The host renames the file and makes a new one; conmon still writes to the old one, until `reopen`. */
  rename(): void {
    renameSync(this.#path, `${this.#path}.${this.#segment++}`);
    closeSync(openSync(this.#path, "a", 0o640));
  }

  reopen(): void {
    closeSync(this.#descriptor);
    this.#descriptor = openSync(this.#path, "a");
  }

  [Symbol.dispose](): void {
    closeSync(this.#descriptor);
  }
}

/** What the host does when it is told that segments below `segment` may go. */
export function trimRaw(folder: string, dynoId: string, segment: number): void {
  for (let each = segment - 1; each > 0; each--) {
    const path = join(folder, `${dynoId}.log.${each}`);
    if (!existsSync(path)) return;
    unlinkSync(path);
  }
}

export interface TemporaryFolder extends AsyncDisposable {
  readonly path: string;
}

export async function temporaryFolder(): Promise<TemporaryFolder> {
  const path = await mkdtemp(join(tmpdir(), "stator-logs-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
