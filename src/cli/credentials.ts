import { chownSync, mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { writeFileAtomic } from "../lib/atomic-file.ts";
import { readOwnFile } from "./own-file.ts";

/** A token for one platform, as it stands in `~/.config/stator/credentials.json` under the platform's URL. */
export interface Credential {
  readonly token: string;
  readonly email?: string;
  /** PEM of the CA that signed the platform's certificate, where it is not one the machine knows. */
  readonly ca?: string;
  /** Used where nothing names a platform. */
  readonly default?: boolean;
}

export type Credentials = Readonly<Record<string, Credential>>;

export function credentialsPath(home = homedir()): string {
  return join(home, ".config", "stator", "credentials.json");
}

/** Nothing where there is no file. Throws for one that cannot be read as what it should be. */
export function readCredentials(path = credentialsPath()): Credentials {
  const value = readOwnFile(path, "mend or remove it, then type: stator login");
  if (typeof value !== "object" || value === null || Array.isArray(value)) return {};
  return Object.fromEntries(
    Object.entries(value).filter((pair): pair is [string, Credential] => isCredential(pair[1])),
  );
}

/** Adds or replaces one platform's credential; mode 0600, owned by `owner` where given. */
export async function saveCredential(
  url: string,
  credential: Credential,
  path = credentialsPath(),
  owner: { readonly uid?: number; readonly gid?: number } = {},
): Promise<void> {
  await change(path, { ...readCredentials(path), [url]: credential }, owner);
}

/** Forgets one platform; the file stays for the others. */
export async function forgetCredential(
  url: string,
  path = credentialsPath(),
  owner: { readonly uid?: number; readonly gid?: number } = {},
): Promise<void> {
  const { [url]: gone, ...others } = readCredentials(path);
  if (gone !== undefined) await change(path, others, owner);
}

async function change(
  path: string,
  all: Credentials,
  owner: { readonly uid?: number; readonly gid?: number },
): Promise<void> {
  makeFolder(dirname(path), owner);
  await writeFileAtomic(path, `${JSON.stringify(all, null, 2)}\n`, { mode: 0o600, ...owner });
}

/** Folders that root makes in somebody's home are that person's. */
function makeFolder(folder: string, { uid, gid }: { readonly uid?: number; readonly gid?: number }): void {
  const first = mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (first === undefined || uid === undefined || gid === undefined) return;
  for (let each = folder; each.length >= first.length; each = dirname(each)) chownSync(each, uid, gid);
}

function isCredential(value: unknown): value is Credential {
  return typeof value === "object" && value !== null && typeof (value as Record<string, unknown>)["token"] === "string";
}
