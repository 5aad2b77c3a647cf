import { existsSync, readFileSync } from "node:fs";
import { isIP } from "node:net";
import { isAbsolute, normalize } from "node:path";
import type { AcmeSettings } from "./model/acm.ts";
import { DISK_MECHANISMS, type DiskSetting, isDiskMechanism } from "./model/disk.ts";
import { execAddressOf, isExecAddress } from "./model/exec-address.ts";
import { DEFAULT_HOME, type Instance, instanceOf } from "./model/instance.ts";

/** Settings of one installation; each from the environment, else from `$STATOR_HOME/stator.env`, else the default. */
export interface Config {
  readonly instance: Instance;
  /** Plain HTTP, loopback only. */
  readonly apiPort: number;
  /** API, git, rendezvous and exec with a certificate of the installation's own CA. */
  readonly tlsPort: number;
  /** Where the API with TLS listens; default: on every IPv4 address. */
  readonly tlsAddress?: string;
  /** Names and addresses by which other machines know the API; its certificate has them beside those that this machine knows. */
  readonly apiHosts?: readonly string[];
  /** PEM files of the operator's own certificate for those names, chain and key. */
  readonly apiCertificate?: { readonly chainFile: string; readonly keyFile: string };
  readonly httpPort: number;
  readonly httpsPort: number;
  /** `hello` answers to `hello.<domain>`. */
  readonly domain: string;
  /** How dynos' disks are limited. */
  readonly disk: DiskSetting;
  /** Who gives certificates to apps with ACM; absent: nobody, since no terms were agreed to. */
  readonly acme?: AcmeSettings;
  /** How long entries of the audit log are kept. */
  readonly auditDays: number;
  /** Where SSH clients of the official CLI come in, at port 80; null: nowhere. */
  readonly execAddress: string | null;
  /** For our own tests: an answer of the API that is not as its schema says becomes an error. */
  readonly checksAnswers?: true;
}

export class ConfigError extends Error {}

type Env = Readonly<Record<string, string | undefined>>;

export const SETTINGS = [
  "STATOR_HOME",
  "STATOR_API_PORT",
  "STATOR_TLS_PORT",
  "STATOR_TLS_ADDRESS",
  "STATOR_API_HOST",
  "STATOR_API_CERTIFICATE",
  "STATOR_API_KEY",
  "STATOR_HTTP_PORT",
  "STATOR_HTTPS_PORT",
  "STATOR_DOMAIN",
  "STATOR_DISK",
  "STATOR_ACME_TERMS",
  "STATOR_ACME_DIRECTORY",
  "STATOR_ACME_EMAIL",
  "STATOR_ACME_CA_FILE",
  "STATOR_AUDIT_DAYS",
  "STATOR_EXEC_ADDRESS",
  "STATOR_TEST_ANSWERS",
] as const;

/** Reads the settings. Throws `ConfigError` with a sentence for a value that cannot be used. */
export function loadConfig(env: Env = process.env): Config {
  const home = normalize(env["STATOR_HOME"] || DEFAULT_HOME).replace(/(?<=.)\/+$/, "");
  if (!isAbsolute(home) || home === "/" || !/^[\w./@+-]+$/.test(home)) {
    throw new ConfigError(`STATOR_HOME=${home}: must be an absolute path of letters, digits and . _ - + @ /`);
  }
  const instance = instanceOf(home);
  const saved = existsSync(instance.paths.settings) ? parseEnvFile(readFileSync(instance.paths.settings, "utf8")) : {};
  const all: Env = { ...saved, ...env };
  const config = {
    instance,
    apiPort: port(all, "STATOR_API_PORT", 5480),
    tlsPort: port(all, "STATOR_TLS_PORT", 5443),
    ...apiSettings(all),
    httpPort: port(all, "STATOR_HTTP_PORT", 80),
    httpsPort: port(all, "STATOR_HTTPS_PORT", 443),
    domain: domain(all["STATOR_DOMAIN"] ?? "localhost"),
    disk: disk(all["STATOR_DISK"]),
    auditDays: auditDays(all["STATOR_AUDIT_DAYS"]),
    execAddress: execAddress(all["STATOR_EXEC_ADDRESS"], instance),
    ...(isTested(all["STATOR_TEST_ANSWERS"], home) && { checksAnswers: true as const }),
  };
  const settings = acme(all);
  const ports = [config.apiPort, config.tlsPort, config.httpPort, config.httpsPort];
  if (new Set(ports).size !== ports.length)
    throw new ConfigError(`two settings name the same port: ${ports.join(", ")}`);
  return settings === undefined ? config : { ...config, acme: settings };
}

/** Of an installation that our tests made. Never of the machine's own: there nobody can have meant it. */
function isTested(text: string | undefined, home: string): boolean {
  if (text === undefined || text === "") return false;
  if (text === "checked" && home !== DEFAULT_HOME) return true;
  throw new ConfigError(`STATOR_TEST_ANSWERS=${text}: this is for Stator's own tests; take it away.`);
}

/** `KEY=value` lines; `#` begins a comment line. */
export function parseEnvFile(text: string): Record<string, string> {
  const pairs = text
    .split("\n")
    .map((line) => /^\s*([A-Z][A-Z0-9_]*)=(.*?)\s*$/.exec(line))
    .filter((match) => match !== null)
    .map((match): [string, string] => [match[1] ?? "", match[2] ?? ""]);
  return Object.fromEntries(pairs);
}

function port(env: Env, name: string, byDefault: number): number {
  const text = env[name];
  if (text === undefined || text === "") return byDefault;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 65_535)
    throw new ConfigError(`${name}=${text}: must be a port, 1 to 65535`);
  return value;
}

function domain(text: string): string {
  const name = text.toLowerCase();
  const label = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";
  if (name.length > 200 || !new RegExp(`^${label}(\\.${label})*$`).test(name))
    throw new ConfigError(`STATOR_DOMAIN=${text}: must be a host name`);
  return name;
}

function disk(text: string | undefined): DiskSetting {
  if (text === undefined || text === "" || text === "auto") return "auto";
  if (!isDiskMechanism(text)) throw new ConfigError(`STATOR_DISK=${text}: must be auto, ${DISK_MECHANISMS.join(", ")}`);
  return text;
}

function apiSettings(env: Env): Pick<Config, "tlsAddress" | "apiHosts" | "apiCertificate"> {
  const address = env["STATOR_TLS_ADDRESS"] || "0.0.0.0";
  if (isIP(address) === 0)
    throw new ConfigError(`STATOR_TLS_ADDRESS=${address}: must be an IP address of this machine`);
  const apiHosts = (env["STATOR_API_HOST"] || "").split(",").flatMap((each) => each.trim().toLowerCase() || []);
  const label = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";
  const wrong = apiHosts.find((each) => isIP(each) === 0 && !new RegExp(`^${label}(\\.${label})*$`).test(each));
  if (wrong !== undefined)
    throw new ConfigError(`STATOR_API_HOST=${wrong}: must be host names or addresses, with commas`);
  const [chainFile, keyFile] = [env["STATOR_API_CERTIFICATE"] || "", env["STATOR_API_KEY"] || ""];
  if ((chainFile === "") !== (keyFile === ""))
    throw new ConfigError("STATOR_API_CERTIFICATE and STATOR_API_KEY: set both, or neither");
  for (const file of [chainFile, keyFile]) {
    if (file !== "" && !isAbsolute(file))
      throw new ConfigError(
        `STATOR_API_CERTIFICATE and STATOR_API_KEY: ${file} must be the absolute path of a PEM file`,
      );
  }
  return { tlsAddress: address, apiHosts, ...(chainFile !== "" && { apiCertificate: { chainFile, keyFile } }) };
}

const LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory";

function acme(env: Env): AcmeSettings | undefined {
  const { STATOR_ACME_TERMS: terms = "" } = env;
  if (terms !== "" && terms !== "agreed")
    throw new ConfigError(`STATOR_ACME_TERMS=${terms}: say agreed, once you agree to the authority's terms`);
  const directory = env["STATOR_ACME_DIRECTORY"] || LETS_ENCRYPT;
  if (URL.parse(directory)?.protocol !== "https:")
    throw new ConfigError(`STATOR_ACME_DIRECTORY=${directory}: must be the https address of an ACME directory`);
  const email = env["STATOR_ACME_EMAIL"] || null;
  if (email !== null && !/^[^\s@]+@[^\s@]+$/.test(email))
    throw new ConfigError(`STATOR_ACME_EMAIL=${email}: must be a mail address`);
  const caFile = env["STATOR_ACME_CA_FILE"] || null;
  if (caFile !== null && !isAbsolute(caFile))
    throw new ConfigError(`STATOR_ACME_CA_FILE=${caFile}: must be the absolute path of a PEM file`);
  return terms === "" ? undefined : { directory, email, caFile };
}

function auditDays(text: string | undefined): number {
  if (text === undefined || text === "") return 400;
  const days = Number(text);
  if (!Number.isInteger(days) || days < 1 || days > 36_500)
    throw new ConfigError(`STATOR_AUDIT_DAYS=${text}: must be a number of days, 1 to 36500`);
  return days;
}

function execAddress(text: string | undefined, { id }: Instance): string | null {
  if (text === undefined || text === "") return execAddressOf(id);
  if (text === "off") return null;
  if (!isExecAddress(text))
    throw new ConfigError(`STATOR_EXEC_ADDRESS=${text}: must be off, or an address 127.x.y.z outside 127.0.0.0/16`);
  return text;
}
