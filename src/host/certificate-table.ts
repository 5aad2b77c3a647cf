import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../lib/atomic-file.ts";
import { type Challenge, digestOf, type RouteCertificate } from "../router/routes.ts";
import { checkCertificate, checkChallenge } from "./haproxy-certificates.ts";
import { id } from "./haproxy-config.ts";

/** A certificate for some hosts, under a name that no other content ever has. */
export interface NamedCertificate extends RouteCertificate {
  readonly name: string;
}

/** Of an entry: HAProxy reads lines of 64 kB at most, and commands of 16. */
const HOSTS_MAX = 50;
/** Tokens that are answered at once; the oldest go. */
const CHALLENGES_MAX = 1000;

/**
 * The certificates of all apps, and what ACME authorities are to be answered: root's own files, 0600, so that HAProxy has
 * them again after a restart of anything.
 */
export class CertificateTable {
  readonly #folder: string;
  readonly #apps = new Map<string, { readonly digest: string; readonly named: readonly NamedCertificate[] }>();
  readonly #challenges = new Map<string, Challenge>();
  /** Counts changes. */
  version = 0;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async load(folder: string): Promise<CertificateTable> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const table = new CertificateTable(folder);
    for (const file of await readdir(folder)) {
      const [, appId] = /^([0-9a-f-]{36})\.json$/.exec(file) ?? [];
      // Root's own files; each is checked again, and one that was damaged by hand is left out until the daemon tells it anew.
      const text = await readFile(join(folder, file), "utf8");
      if (appId !== undefined) table.#restore(appId, text);
      else if (file === CHALLENGES) table.#restoreChallenges(text);
    }
    return table;
  }

  /** Whether anything is different now. Throws for what could not be told to HAProxy. On disk when it resolves. */
  async set(appId: string, certificates: readonly RouteCertificate[]): Promise<boolean> {
    const named = certificates.flatMap(namedOf);
    const digest = digestOf(certificates);
    if (digest === (this.#apps.get(appId)?.digest ?? digestOf([]))) return false;
    const path = join(this.#folder, `${id(appId)}.json`);
    if (named.length === 0) await rm(path, { force: true });
    else await writeFileAtomic(path, JSON.stringify(certificates), { mode: 0o600 });
    if (named.length === 0) this.#apps.delete(appId);
    else this.#apps.set(appId, { digest, named });
    this.version++;
    return true;
  }

  async setChallenge(challenge: Challenge): Promise<boolean> {
    checkChallenge(challenge);
    const { host, token, keyAuthorization } = challenge;
    const before = this.#challenges.get(host);
    if (before?.token === token && before.keyAuthorization === keyAuthorization) return false;
    this.#challenges.delete(host);
    this.#challenges.set(host, { host, token, keyAuthorization });
    for (const oldest of this.#challenges.keys()) {
      if (this.#challenges.size <= CHALLENGES_MAX) break;
      this.#challenges.delete(oldest);
    }
    await this.#saveChallenges();
    return true;
  }

  async removeChallenge(host: string): Promise<boolean> {
    if (!this.#challenges.delete(host)) return false;
    await this.#saveChallenges();
    return true;
  }

  digests(): readonly { readonly appId: string; readonly digest: string }[] {
    return [...this.#apps].map(([appId, { digest }]) => ({ appId, digest }));
  }

  certificates(): readonly NamedCertificate[] {
    return [...this.#apps.values()].flatMap(({ named }) => named);
  }

  challenges(): readonly Challenge[] {
    return [...this.#challenges.values()];
  }

  #restore(appId: string, text: string): void {
    try {
      const certificates = JSON.parse(text) as readonly RouteCertificate[]; // each is checked
      this.#apps.set(id(appId), { digest: digestOf(certificates), named: certificates.flatMap(namedOf) });
    } catch {
      // as if it had never been told
    }
  }

  #restoreChallenges(text: string): void {
    try {
      for (const challenge of JSON.parse(text) as readonly Challenge[]) {
        checkChallenge(challenge);
        this.#challenges.set(challenge.host, challenge);
      }
    } catch {
      // the daemon tells again what is under order
    }
  }

  async #saveChallenges(): Promise<void> {
    this.version++;
    await writeFileAtomic(join(this.#folder, CHALLENGES), JSON.stringify(this.challenges()), { mode: 0o600 });
  }
}

const CHALLENGES = "challenges.json";

/** One certificate as entries of not too many hosts each. */
function namedOf({ hosts, pem }: RouteCertificate): readonly NamedCertificate[] {
  checkCertificate({ hosts, pem });
  const parts = Array.from({ length: Math.ceil(hosts.length / HOSTS_MAX) }, (_, part) =>
    hosts.slice(part * HOSTS_MAX, (part + 1) * HOSTS_MAX),
  );
  return parts.map((some) => ({
    name: createHash("sha256")
      .update(JSON.stringify([some, pem]))
      .digest("hex")
      .slice(0, 40),
    hosts: some,
    pem,
  }));
}
