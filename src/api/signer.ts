import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../lib/atomic-file.ts";

/**
 * Makes URLs that are their own permission (log sessions, build output): clients fetch them without a token. Nothing is kept
 * for one but the key, so that they outlive a restart of the daemon.
 */
export class Signer {
  readonly #key: Uint8Array;

  constructor(key: Uint8Array) {
    this.#key = key;
  }

  /** A word for a URL that carries `facts`, readable by all, made by nobody else. */
  seal(purpose: string, facts: unknown): string {
    const body = Buffer.from(JSON.stringify(facts)).toString("base64url");
    return `${body}.${this.#mac(purpose, body).toString("base64url")}`;
  }

  /** What was sealed for this purpose; undefined for anything else. */
  open(purpose: string, word: string): unknown {
    const [body = "", mac = "", ...more] = word.split(".");
    const given = Buffer.from(mac, "base64url");
    const right = this.#mac(purpose, body);
    if (more.length > 0 || given.length !== right.length || !timingSafeEqual(given, right)) return undefined;
    return JSON.parse(Buffer.from(body, "base64url").toString("utf8"));
  }

  #mac(purpose: string, body: string): Buffer {
    return createHmac("sha256", this.#key).update(`${purpose}\n${body}`).digest();
  }
}

const KEY_BYTES = 32;

/** The signer with the key of this installation; made at first use. */
export async function openSigner(folder: string): Promise<Signer> {
  const path = join(folder, "url.key");
  const there = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (there?.length === KEY_BYTES) return new Signer(there);
  const key = randomBytes(KEY_BYTES);
  await writeFileAtomic(path, key);
  return new Signer(key);
}
