import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { utils as Utils } from "ssh2";
import { writeFileAtomic } from "../lib/atomic-file.ts";

/** By which the listener is known; Ed25519. */
export interface HostKey {
  /** OpenSSH's private format. */
  readonly privateKey: string;
  /** `ssh-ed25519 AAAA...` */
  readonly publicKey: string;
}

/** The installation's key, made at the first call and kept below `folder` (mode 0600). */
export async function openHostKey(folder: string): Promise<HostKey> {
  const { utils } = (await import("ssh2")).default;
  const path = join(folder, "ssh-host-key");
  const kept = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  const privateKey = kept ?? makeKeyPair(utils).private;
  if (kept === undefined) await writeFileAtomic(path, privateKey, { mode: 0o600 });
  const parsed = utils.parseKey(privateKey);
  if (parsed instanceof Error)
    throw new Error(`${path} holds no key: move it away, and another is made`, { cause: parsed });
  return { privateKey, publicKey: `${parsed.type} ${parsed.getPublicSSH().toString("base64")}` };
}

const TRIES = 20;

/** An Ed25519 pair. ssh2 drops a leading zero of a key, so that it cannot read one in 256 of those that it makes. */
export function makeKeyPair(utils: typeof Utils): ReturnType<typeof Utils.generateKeyPairSync> {
  for (let tries = 1; tries <= TRIES; tries++) {
    const pair = utils.generateKeyPairSync("ed25519");
    if (!(utils.parseKey(pair.private) instanceof Error)) return pair;
  }
  throw new Error(`none of ${TRIES} new SSH keys can be read`);
}
