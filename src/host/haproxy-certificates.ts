import { randomUUID } from "node:crypto";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { CommandError } from "../lib/command.ts";
import { Limit } from "../lib/limit.ts";
import type { Logger } from "../lib/logger.ts";
import type { Challenge, RouteCertificate } from "../router/routes.ts";
import type { CertificateTable, NamedCertificate } from "./certificate-table.ts";
import type { HaproxyLayout } from "./haproxy-config.ts";
import { HOST_PATTERN, KEY_AUTHORIZATION_PATTERN, PEM_BYTES_MAX, PEM_PATTERN, TOKEN_PATTERN } from "./protocol.ts";

type Folder = Pick<HaproxyLayout, "folder">;

export const crtListPath = ({ folder }: Folder): string => join(folder, "certificates.list");
export const challengesPath = ({ folder }: Folder): string => join(folder, "challenges.map");
const certificatePath = ({ folder }: Folder, name: string): string => join(folder, `crt-${named(name)}.pem`);
/** A command with its content must fit HAProxy's buffer of 16 kB; what is longer comes by a reload. */
const PAYLOAD_BYTES_MAX = 15_000;
const AT_ONCE_MAX = 100;
const OWN_CHECK = `check-${process.pid}-`;

export interface CertificateTools {
  readonly layout: HaproxyLayout;
  readonly table: CertificateTable;
  /** Writes a file that HAProxy may read. */
  readonly replace: (path: string, text: string) => Promise<void>;
  /** Has HAProxy itself look at a configuration, as its own user. Throws `CommandError`. */
  readonly checkConfig: (path: string) => Promise<void>;
  /** One command to the worker, and its answer. */
  readonly ask: (pid: number, text: string) => Promise<string>;
  readonly logger: Logger;
}

/**
 * Keeps HAProxy's certificates and challenge answers equal to the table: by files for its start, by commands while it runs. A
 * name stands for one content for ever, so a new certificate is there before the one that it replaces goes.
 */
export class HaproxyCertificates {
  readonly #tools: CertificateTools;
  /** What the worker has; undefined: to be asked. */
  #shown: Shown | undefined;
  /** Those that HAProxy does not take (any more): an upgrade of it may be stricter than the one that took them. */
  #refused: ReadonlySet<string> = new Set();
  /** Each is an HAProxy of its own for 30 ms, and anybody with an app may ask for one. */
  readonly #checks = new Limit(2);

  constructor(tools: CertificateTools) {
    this.#tools = tools;
  }

  /** All files, for a start or a reload; only the first `most` certificates are in them, the others come by commands. */
  async write(most: number = Number.POSITIVE_INFINITY): Promise<void> {
    const { layout, table, replace } = this.#tools;
    this.#shown = undefined;
    const wanted = this.#wanted().slice(0, most);
    const there = new Set(await readdir(layout.folder));
    for (const { name, pem } of wanted) {
      const path = certificatePath(layout, name);
      if (!there.has(path.slice(layout.folder.length + 1))) await replace(path, pem);
    }
    await replace(crtListPath(layout), wanted.map((each) => `${entryOf(layout, each)}\n`).join(""));
    await replace(
      challengesPath(layout),
      table
        .challenges()
        .map((each) => `${challengeEntry(each).join(" ")}\n`)
        .join(""),
    );
  }

  /** After a configuration was refused: leaves out what HAProxy refuses for itself. Gives whether there is any. */
  async leaveOutRefused(): Promise<boolean> {
    const refused = new Set(this.#refused);
    for (const each of this.#wanted()) {
      const why = await this.refusal(each.pem, each.hosts);
      if (why === null) continue;
      refused.add(each.name);
      this.#tools.logger.error("certificates.left_out", { hosts: each.hosts, why });
    }
    const isNew = refused.size > this.#refused.size;
    this.#refused = refused;
    return isNew;
  }

  /** Why HAProxy would not start with this certificate; null if it would. */
  refusal(pem: string, hosts: readonly string[]): Promise<string | null> {
    return this.#checks.run(() => this.#refusal(pem, hosts));
  }

  async #refusal(pem: string, hosts: readonly string[]): Promise<string | null> {
    const { layout, replace, checkConfig } = this.#tools;
    checkCertificate({ hosts, pem });
    const base = join(layout.folder, `${OWN_CHECK}${randomUUID()}`);
    const paths = { pem: `${base}.pem`, list: `${base}.list`, config: `${base}.cfg` };
    try {
      await replace(paths.pem, pem);
      await replace(paths.list, [paths.pem, ...hosts].join(" ").concat("\n"));
      await replace(paths.config, checkingConfig(paths.list));
      await checkConfig(paths.config);
      return null;
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      return reasonOf(error.stderr);
    } finally {
      for (const path of Object.values(paths)) await rm(path, { force: true });
    }
  }

  /** Whether the worker has all that the table says. */
  get isCurrent(): boolean {
    return this.#shown?.version === this.#tools.table.version;
  }

  /** Brings the worker to what the table says, a hundred new certificates at a time. */
  async sync(pid: number): Promise<Synced> {
    const { layout, table } = this.#tools;
    const version = table.version;
    if (this.#shown?.pid === pid && this.#shown.version === version) return "done";
    try {
      const shown = this.#shown?.pid === pid ? this.#shown : await this.#look(pid);
      this.#shown = undefined; // in between nothing is known
      const wanted = new Map(this.#wanted().map((each) => [each.name, each]));
      const missing = [...wanted.values()].filter(({ name }) => !shown.names.has(name));
      for (const each of missing.slice(0, AT_ONCE_MAX)) {
        if (!(await this.#add(pid, each))) return "reload";
        shown.names.add(each.name);
      }
      if (missing.length > AT_ONCE_MAX) {
        this.#shown = { ...shown, version: -1 };
        return "more";
      }
      for (const name of [...shown.names].filter((each) => !wanted.has(each))) {
        await this.#remove(pid, name);
        shown.names.delete(name);
      }
      await this.#syncChallenges(pid, shown.challenges, new Map(table.challenges().map(challengeEntry)));
      this.#shown = { ...shown, version };
    } catch (error) {
      throw new Error("HAProxy could not be told of certificates", { cause: error });
    }
    const used = new Set(this.#wanted().map(({ name }) => certificatePath(layout, name)));
    for (const file of await readdir(layout.folder)) {
      const path = join(layout.folder, file);
      const isOld = file.startsWith("crt-")
        ? !used.has(path)
        : file.startsWith("check-") && !file.startsWith(OWN_CHECK);
      if (isOld) await rm(path, { force: true });
    }
    return "done";
  }

  #wanted(): readonly NamedCertificate[] {
    return this.#tools.table.certificates().filter(({ name }) => !this.#refused.has(name));
  }

  async #look(pid: number): Promise<Shown> {
    const { layout, ask } = this.#tools;
    const list = await ask(pid, `show ssl crt-list ${crtListPath(layout)}`);
    const map = await ask(pid, `show map ${challengesPath(layout)}`);
    const names = new Set([...list.matchAll(/\/crt-([0-9a-f]{40})\.pem(?= |$)/gm)].map(([, name = ""]) => name));
    const challenges = new Map(
      [...map.matchAll(/^0x[0-9a-f]+ (\S+) (\S+)$/gm)].map(([, key = "", text = ""]) => [key, text]),
    );
    return { pid, version: -1, names, challenges };
  }

  /** New, filled, in the list. A part of it that was done before is done again. */
  async #add(pid: number, certificate: NamedCertificate): Promise<boolean> {
    const { layout, replace } = this.#tools;
    const path = certificatePath(layout, certificate.name);
    const entry = entryOf(layout, certificate);
    if (certificate.pem.length > PAYLOAD_BYTES_MAX || entry.length > PAYLOAD_BYTES_MAX) return false;
    await replace(path, certificate.pem);
    await this.#tell(pid, `new ssl cert ${path}`, /^New empty certificate store|already exists!$/);
    await this.#tell(
      pid,
      `set ssl cert ${path} <<\n${certificate.pem}`,
      `Transaction created for certificate ${path}!`,
    );
    await this.#tell(pid, `commit ssl cert ${path}`, /Success!$/);
    await this.#tell(pid, `add ssl crt-list ${crtListPath(layout)} <<\n${entry}\n`, /Success!$/);
    return true;
  }

  async #remove(pid: number, name: string): Promise<void> {
    const { layout } = this.#tools;
    const path = certificatePath(layout, name);
    await this.#tell(pid, `del ssl crt-list ${crtListPath(layout)} ${path}`, /deleted in crtlist/);
    await this.#tell(pid, `del ssl cert ${path}`, /deleted!$/);
  }

  async #syncChallenges(pid: number, shown: Map<string, string>, wanted: ReadonlyMap<string, string>): Promise<void> {
    const path = challengesPath(this.#tools.layout);
    for (const [key, value] of wanted) {
      if (shown.get(key) === value) continue;
      await this.#tell(pid, `${shown.has(key) ? "set" : "add"} map ${path} ${key} ${value}`, /^$/);
      shown.set(key, value);
    }
    for (const key of [...shown.keys()].filter((each) => !wanted.has(each))) {
      await this.#tell(pid, `del map ${path} ${key}`, /^$/);
      shown.delete(key);
    }
  }

  async #tell(pid: number, text: string, expected: RegExp | string): Promise<void> {
    const answer = await this.#tools.ask(pid, text);
    const isGood = typeof expected === "string" ? answer.includes(expected) : expected.test(answer);
    if (!isGood) throw new Error(`HAProxy answered ${text.split("\n")[0]} with: ${answer}`);
  }
}

/** `more`: call again; meanwhile other things may be told. `reload`: only that can. */
export type Synced = "done" | "more" | "reload";

interface Shown {
  readonly pid: number;
  /** Of the table, when this was so. */
  readonly version: number;
  readonly names: Set<string>;
  readonly challenges: Map<string, string>;
}

/** A line of the crt-list: the file, and the names for which it is shown; for any other it is not. */
function entryOf(layout: Folder, { name, hosts }: NamedCertificate): string {
  return [certificatePath(layout, name), ...hosts].join(" ");
}

/** Only the exact path of a host under order is answered by us; all other paths are the app's. */
function challengeEntry({ host, token, keyAuthorization }: Challenge): [string, string] {
  return [`${host}/.well-known/acme-challenge/${token}`, keyAuthorization];
}

/** Pure. The lines of the public frontend that answer challenges; before anything else is decided of the request. */
export function renderChallengeRules(layout: Folder): string {
  const isOne = "if { path_beg /.well-known/acme-challenge/ }";
  return `  http-request set-var(txn.path) path ${isOne}
  http-request set-var(txn.challenge) var(txn.host),concat(,txn.path),map_str(${challengesPath(layout)}) ${isOne}
  http-request return status 200 content-type text/plain lf-string "%[var(txn.challenge)]" if { var(txn.challenge) -m found }`;
}

function checkingConfig(list: string): string {
  return `defaults
  mode http
  timeout client 1s
  timeout server 1s
  timeout connect 1s
frontend check
  bind 127.0.0.1:1 ssl crt-list ${list}
`;
}

/** OpenSSL's reason, without our paths. */
function reasonOf(stderr: string): string {
  const [, reason] = /:SSL routines::([\w .-]+)|unable to load ([\w .-]+) from/.exec(stderr) ?? [];
  return reason ?? "HAProxy does not accept it";
}

// Nothing passes into files or commands but through these.

const pemPattern = new RegExp(PEM_PATTERN);
const hostPattern = new RegExp(HOST_PATTERN);
const tokenPattern = new RegExp(TOKEN_PATTERN);
const keyAuthorizationPattern = new RegExp(KEY_AUTHORIZATION_PATTERN);

/** Throws for what is no chain with its key, or no host. */
export function checkCertificate({ hosts, pem }: RouteCertificate): void {
  if (typeof pem !== "string" || pem.length > PEM_BYTES_MAX || !pemPattern.test(pem))
    throw new Error("not a chain of certificates with its key");
  for (const host of hosts)
    if (typeof host !== "string" || host.length > 253 || !hostPattern.test(host))
      throw new Error(`not a host name: ${JSON.stringify(host)}`);
}

/** Throws for what is no challenge. */
export function checkChallenge({ host, token, keyAuthorization }: Challenge): void {
  const isGood =
    hostPattern.test(host) &&
    tokenPattern.test(token) &&
    keyAuthorizationPattern.test(keyAuthorization) &&
    !host.startsWith("*");
  if (!isGood) throw new Error("not a challenge");
}

function named(name: string): string {
  if (!/^[0-9a-f]{40}$/.test(name)) throw new Error("not the name of a certificate");
  return name;
}
