import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../config.ts";
import { writeFileAtomic } from "../lib/atomic-file.ts";
import { UsageError } from "./command.ts";
import { gitSettings } from "./git-remote.ts";
import type { Platform } from "./platform.ts";
import { originOfRelay, readRelays, runsRelay, type SavedRelay } from "./relays.ts";
import { fingerprintOf } from "./trust.ts";

/** Hosts that the official CLI accepts (platform-api 1.1); with any other it would send the token to its own maker. */
export function isAccepted(url: string): boolean {
  const { hostname } = new URL(url);
  return hostname === "127.0.0.1" || hostname === "localhost";
}

/** Where the official CLI is led to, with what, and how its git and Node come to trust that. */
interface Way {
  /** Origin for all that may be plain HTTP. */
  readonly url: string;
  readonly key: string;
  /** Host and port with TLS. */
  readonly secure: string;
  readonly gitHost: string;
  /** PEM of the authority that signed the certificate of `secure`, and the name of the file in which it is kept. */
  readonly authority?: { readonly pem: string; readonly file: string };
  readonly git: readonly (readonly [string, string])[];
  /** PEM of the authority of `gitHost`, where that is another. */
  readonly gitAuthority?: string | undefined;
}

type Env = Readonly<Record<string, string | undefined>>;

/**
 * The environment with which the official, unmodified CLI speaks to the platform (platform-api 1.1 and 2). Names that must be
 * https go to the port with TLS; everything else uses plain HTTP on loopback. A platform elsewhere is reached through the relay
 * of `stator connect`. Throws `UsageError` where there is none: the CLI would refuse the host, and go to its own maker instead.
 */
export async function officialEnvironment(
  platform: Platform,
  env: Env = process.env,
): Promise<Readonly<Record<string, string>>> {
  if (!isAccepted(platform.url)) {
    const relay = readRelays()[platform.url];
    if (relay !== undefined && (await runsRelay(platform.url, relay))) return relayEnvironment(relay, env);
    throw new UsageError(
      `The official CLI accepts 127.0.0.1 and localhost only, and no relay to ${platform.url} runs. In another terminal type: stator connect ${platform.url} (or add --background). For one command: stator heroku COMMAND`,
      1,
    );
  }
  if (platform.token === undefined) throw new UsageError("No token yet: type stator login.", 1);
  const config = loadConfig(env);
  const secure = platform.local ? `127.0.0.1:${config.tlsPort}` : new URL(platform.url).host;
  const ca = platform.local ? config.instance.paths.caCertificate : undefined;
  const pem = platform.ca ?? (ca !== undefined && existsSync(ca) ? readFileSync(ca, "utf8") : undefined);
  return environmentOf(
    {
      url: platform.url,
      key: platform.token,
      secure,
      gitHost: secure,
      ...(pem !== undefined && { authority: { pem, file: "ca.pem" } }),
      git: [],
    },
    env,
  );
}

/** Through a relay that runs on this machine. `direct`: git goes to that platform itself, since this relay is not for long. */
export async function relayEnvironment(
  relay: Pick<SavedRelay, "port" | "secret" | "ca">,
  env: Env = process.env,
  direct?: Platform,
): Promise<Readonly<Record<string, string>>> {
  const url = originOfRelay(relay);
  const secure = `127.0.0.1:${relay.port}`;
  return environmentOf(
    {
      url,
      key: relay.secret,
      secure,
      gitHost: direct === undefined ? secure : new URL(direct.url).host,
      authority: { pem: relay.ca, file: `relay-${fingerprintOf(relay.ca).slice(0, 12)}.pem` },
      git: direct === undefined ? [[`http.${url}/.proxy`, ""]] : await gitSettings(direct),
      gitAuthority: direct?.ca,
    },
    env,
  );
}

async function environmentOf(way: Way, env: Env): Promise<Readonly<Record<string, string>>> {
  const { url, secure, authority } = way;
  const own = authority && (await writeAuthority(authority.pem, authority.file));
  const bundle = authority && (await addToBundle([authority.pem], env["NODE_EXTRA_CA_CERTS"], "ca-bundle.pem"));
  // Where this one is set git looks into no other file, whatever its settings say.
  const { GIT_SSL_CAINFO: forGit = "" } = env;
  const trusted = [authority?.pem, way.gitAuthority].filter((pem) => pem !== undefined);
  const gitBundle = forGit === "" ? undefined : await addToBundle(trusted, forGit, "git-ca-bundle.pem");
  const pairs = [...(own === undefined ? [] : [[`http.https://${secure}/.sslCAInfo`, own] as const]), ...way.git];
  return {
    HEROKU_HOST: url,
    HEROKU_API_KEY: way.key,
    HEROKU_GIT_HOST: way.gitHost,
    HEROKU_PARTICLEBOARD_URL: url,
    HEROKU_STATUS_HOST: url,
    HEROKU_LOGIN_HOST: url,
    HEROKU_BUILDPACK_REGISTRY_URL: url,
    HEROKU_EXEC_URL: `https://${secure}`,
    DISABLE_TELEMETRY: "true",
    ...noProxy(env),
    ...(bundle !== undefined && { NODE_EXTRA_CA_CERTS: bundle }),
    ...(gitBundle !== undefined && { GIT_SSL_CAINFO: gitBundle }),
    ...(pairs.length > 0 && gitConfig(env, pairs)),
  };
}

/** A proxy that the person has set is not on the way to their own machine, and must not learn what goes there. */
function noProxy(env: Env): Readonly<Record<string, string>> {
  const names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].flatMap((name) => [name, name.toLowerCase()]);
  if (!names.some((name) => env[name])) return {};
  const all = (env["no_proxy"] || env["NO_PROXY"] || "").split(",").filter((each) => each !== "");
  const text = [...new Set([...all, "127.0.0.1", "localhost"])].join(",");
  return { NO_PROXY: text, no_proxy: text };
}

/** Adds to what GIT_CONFIG_COUNT already carries: the CA for the platform's git host only. */
export function gitConfig(
  env: Readonly<Record<string, string | undefined>>,
  pairs: readonly (readonly [string, string])[],
): Readonly<Record<string, string>> {
  const already = Number(env["GIT_CONFIG_COUNT"] ?? "0") || 0;
  const keys = Array.from({ length: already }, (_, index) => env[`GIT_CONFIG_KEY_${index}`]);
  // `eval "$(stator env)"` twice adds nothing.
  const missing = pairs.filter(
    ([key, value]) => !keys.some((each, at) => each === key && env[`GIT_CONFIG_VALUE_${at}`] === value),
  );
  const added = missing.flatMap(([key, value], index) => [
    [`GIT_CONFIG_KEY_${already + index}`, key],
    [`GIT_CONFIG_VALUE_${already + index}`, value],
  ]);
  return { GIT_CONFIG_COUNT: String(already + missing.length), ...Object.fromEntries(added) };
}

/** Writes an authority's certificate where programs can read it by path. */
async function writeAuthority(pem: string, file: string): Promise<string> {
  const path = join(folder(), file);
  mkdirSync(folder(), { recursive: true, mode: 0o700 });
  await writeIfOther(path, pem);
  return path;
}

/** The same, added to those that the person already trusts by a variable which knows one file. */
async function addToBundle(pems: readonly string[], existing: string | undefined, file: string): Promise<string> {
  const path = join(folder(), file);
  const before = existing === undefined || existing === "" ? "" : (readIfThere(existing) ?? "").trim();
  const missing = pems.map((pem) => pem.trim()).filter((pem) => !before.includes(pem));
  mkdirSync(folder(), { recursive: true, mode: 0o700 });
  await writeIfOther(path, `${[before, ...missing].filter((part) => part !== "").join("\n")}\n`);
  return path;
}

const folder = (): string => join(process.env["HOME"] ?? homedir(), ".config", "stator");

async function writeIfOther(path: string, text: string): Promise<void> {
  if (readIfThere(path) !== text) await writeFileAtomic(path, text, { mode: 0o644 });
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined; // not there yet, or not ours to read: as if it were not set
  }
}
