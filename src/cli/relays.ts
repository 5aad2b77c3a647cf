import { createHash, randomBytes, X509Certificate } from "node:crypto";
import { mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { writeFileAtomic } from "../lib/atomic-file.ts";
import { execAddressOf } from "../model/exec-address.ts";
import { Client } from "./client.ts";
import { readOwnFile } from "./own-file.ts";

/** What this person's relay to one platform keeps, so that shells and git remotes which name it outlive its restarts. */
export interface SavedRelay {
  /** 0: none was taken yet. */
  readonly port: number;
  readonly secret: string;
  /** PEM: the relay's own certificate, its key, and the one authority that signed it, whose key was thrown away. */
  readonly certificate: string;
  readonly key: string;
  readonly ca: string;
}

/** By the platform's URL. */
export type Relays = Readonly<Record<string, SavedRelay>>;

/** A relay's secret begins so, and is worth nothing elsewhere. */
const PREFIX = "HRKU-SL";
const NAMES = ["127.0.0.1", "localhost"];
/** Made anew when it ends within this. */
const RENEW_MS = 30 * 86_400_000;

export function relaysPath(home = process.env["HOME"] ?? homedir()): string {
  return join(home, ".config", "stator", "relays.json");
}

export function readRelays(path = relaysPath()): Relays {
  const value = readOwnFile(path, "remove it, then type: stator connect");
  return typeof value === "object" && value !== null ? (value as Relays) : {}; // our own file
}

export function newSecret(): string {
  return `${PREFIX}${randomBytes(32).toString("base64url")}`;
}

/** The relay to a platform as it was saved; made and saved at its first use, its certificate anew before it ends. */
export async function relayTo(url: string, path = relaysPath()): Promise<SavedRelay> {
  const saved = readRelays(path)[url];
  if (saved !== undefined && Date.parse(new X509Certificate(saved.certificate).validTo) - Date.now() > RENEW_MS) {
    return saved;
  }
  const { makeAuthority, makeServerCertificate } = await import("../host/certificates.ts");
  const authority = await makeAuthority(`Stator relay to ${new URL(url).host}`.slice(0, 64), Date.now());
  const pair = await makeServerCertificate(authority, NAMES, Date.now());
  const made = { port: 0, secret: newSecret(), ...saved, ...pair, ca: authority.certificate };
  await saveRelay(url, made, path);
  return made;
}

export async function saveRelay(url: string, relay: SavedRelay, path = relaysPath()): Promise<void> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  await writeFileAtomic(path, `${JSON.stringify({ ...readRelays(path), [url]: relay }, null, 2)}\n`, { mode: 0o600 });
}

/** Where SSH clients come in at a relay: an address of its own among the loopback's, made from any text. */
export function execAddressFor(text: string): string {
  return execAddressOf(createHash("sha256").update(text).digest("hex").slice(0, 6));
}

export const originOfRelay = ({ port }: Pick<SavedRelay, "port">): string =>
  new URL(`https://127.0.0.1:${port}`).origin;

/** Whether it runs and is this person's: who took its port meanwhile has not its certificate, and learns nothing. */
export async function runsRelay(url: string, relay: SavedRelay): Promise<boolean> {
  if (relay.port === 0) return false;
  try {
    const { platform } = await clientOf(relay).get<{ readonly platform: string }>("/stator/relay");
    return platform === url;
  } catch {
    return false; // nothing there, or somebody else
  }
}

/** Where SSH clients come in at the relay that runs; null: nowhere. */
export async function execAddressOfRelay(url: string): Promise<string | null> {
  const relay = readRelays()[url];
  if (relay === undefined) return null;
  const own = clientOf(relay).get<{ readonly exec_address: string | null }>("/stator/relay");
  return own.then(
    (facts) => facts.exec_address,
    () => null, // none runs
  );
}

/** For the relay's own address, of which its person alone has the secret. */
export function clientOf(relay: SavedRelay): Client {
  return new Client({ url: originOfRelay(relay), token: relay.secret, ca: relay.ca, local: false });
}
