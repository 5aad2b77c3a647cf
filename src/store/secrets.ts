import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { writeFileAtomic } from "../lib/atomic-file.ts";

/**
 * Encryption at rest: AES-256-GCM, a fresh nonce for each value, and the place of the value (table and row) as associated
 * data, so that a sealed text copied to another row does not open there. Each text names its key, so that keys can change.
 */
export class Secrets {
  readonly #keys: ReadonlyMap<string, Uint8Array>;
  readonly #current: string;
  readonly #random: RandomBytes;

  /** The first key seals; the others only open what they sealed. */
  constructor(keys: readonly Uint8Array[], random: RandomBytes = randomBytes) {
    const named = keys.map((key) => [keyIdOf(key), key] as const);
    const first = named[0];
    if (!first) throw new Error("Secrets need at least one key.");
    this.#current = first[0];
    this.#keys = new Map(named);
    this.#random = random;
  }

  /** `place` says where it will be kept, like `releases/<id>`; the same is needed to open it. */
  seal(text: string, place: string): string {
    const nonce = this.#random(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, this.#key(this.#current), nonce);
    cipher.setAAD(Buffer.from(place));
    const sealed = Buffer.concat([nonce, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
    return `${this.#current}.${sealed.toString("base64url")}`;
  }

  /** Throws when the key is missing, the text was changed, or it belongs to another place. */
  open(sealed: string, place: string): string {
    const dot = sealed.indexOf(".");
    const bytes = Buffer.from(sealed.slice(dot + 1), "base64url");
    const key = this.#key(sealed.slice(0, dot));
    const decipher = createDecipheriv(CIPHER, key, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
    decipher.setAAD(Buffer.from(place));
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    return decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES), undefined, "utf8") + decipher.final("utf8");
  }

  #key(id: string): Uint8Array {
    const key = this.#keys.get(id);
    if (!key) throw new Error(`The key ${id}, which sealed this value, is not in the key file.`);
    return key;
  }
}

export type RandomBytes = (size: number) => Uint8Array;

const CIPHER = "aes-256-gcm";
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Reads the installation's keys (one a line, base64, the newest first), or makes the first one: 0600, on disk before use. */
export async function openKeyFile(path: string): Promise<readonly Uint8Array[]> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (text !== undefined) return parseKeys(text, path);
  const key = randomBytes(KEY_BYTES);
  await writeFileAtomic(path, `${key.toString("base64")}\n`, { mode: 0o600 });
  return [key];
}

function parseKeys(text: string, path: string): readonly Uint8Array[] {
  const keys = text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => Buffer.from(line.trim(), "base64"));
  if (keys.length === 0 || keys.some((key) => key.length !== KEY_BYTES)) {
    throw new Error(
      `${path} does not hold keys: each line must be ${KEY_BYTES} bytes in base64. Restore it from a backup.`,
    );
  }
  return keys;
}

/** Names a key without telling anything of it. */
function keyIdOf(key: Uint8Array): string {
  return createHash("sha256").update("stator key id").update(key).digest("hex").slice(0, 8);
}
