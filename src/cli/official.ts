import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../config.ts";
import { writeFileAtomic } from "../lib/atomic-file.ts";
import { UsageError } from "./command.ts";
import type { Platform } from "./platform.ts";

/** Hosts that the official CLI accepts (platform-api 1.1); with any other it would send the token to its own maker. */
export function isAccepted(url: string): boolean {
  const { hostname } = new URL(url);
  return hostname === "127.0.0.1" || hostname === "localhost";
}

/**
 * The environment with which the official, unmodified CLI speaks to the platform (platform-api 1.1 and 2). Names that must be
 * https go to the port with TLS; everything else uses plain HTTP on loopback. Throws `UsageError` where the CLI would
 * refuse the host.
 */
export async function officialEnvironment(
  platform: Platform,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<Readonly<Record<string, string>>> {
  if (!isAccepted(platform.url)) {
    throw new UsageError(
      `The official CLI accepts 127.0.0.1 and localhost only, not ${platform.url}. Reach the platform through a tunnel: ssh -L 5480:127.0.0.1:5480 -L 5443:127.0.0.1:5443 HOST`,
      1,
    );
  }
  if (platform.token === undefined) throw new UsageError("No token yet: type stator login.", 1);
  const config = loadConfig(env);
  const secure = platform.local ? `127.0.0.1:${config.tlsPort}` : new URL(platform.url).host;
  const ca = platform.local ? config.instance.paths.caCertificate : undefined;
  const authority = platform.ca ?? (ca !== undefined && existsSync(ca) ? readFileSync(ca, "utf8") : undefined);
  const files = authority === undefined ? undefined : await writeAuthorities(authority, env["NODE_EXTRA_CA_CERTS"]);
  return {
    HEROKU_HOST: platform.url,
    HEROKU_API_KEY: platform.token,
    HEROKU_GIT_HOST: secure,
    HEROKU_PARTICLEBOARD_URL: platform.url,
    HEROKU_STATUS_HOST: platform.url,
    HEROKU_LOGIN_HOST: platform.url,
    HEROKU_BUILDPACK_REGISTRY_URL: platform.url,
    HEROKU_EXEC_URL: `https://${secure}`,
    DISABLE_TELEMETRY: "true",
    ...(files !== undefined && { NODE_EXTRA_CA_CERTS: files.bundle }),
    ...(files !== undefined && gitConfig(env, [[`http.https://${secure}/.sslCAInfo`, files.own]])),
  };
}

/** Adds to what GIT_CONFIG_COUNT already carries: the CA for the platform's git host only. */
export function gitConfig(
  env: Readonly<Record<string, string | undefined>>,
  pairs: readonly (readonly [string, string])[],
): Readonly<Record<string, string>> {
  const already = Number(env["GIT_CONFIG_COUNT"] ?? "0") || 0;
  const keys = Array.from({ length: already }, (_, index) => env[`GIT_CONFIG_KEY_${index}`]);
  const missing = pairs.filter(([key, value]) => {
    const at = keys.indexOf(key);
    return at === -1 || env[`GIT_CONFIG_VALUE_${at}`] !== value; // `eval "$(stator env)"` twice adds nothing
  });
  const added = missing.flatMap(([key, value], index) => [
    [`GIT_CONFIG_KEY_${already + index}`, key],
    [`GIT_CONFIG_VALUE_${already + index}`, value],
  ]);
  return { GIT_CONFIG_COUNT: String(already + missing.length), ...Object.fromEntries(added) };
}

/** Writes the platform's CA, and it together with those that the person already trusts, where both can be read by path. */
async function writeAuthorities(
  authority: string,
  existing: string | undefined,
): Promise<{ readonly own: string; readonly bundle: string }> {
  const folder = join(process.env["HOME"] ?? homedir(), ".config", "stator");
  const own = join(folder, "ca.pem");
  const bundle = join(folder, "ca-bundle.pem");
  const others = existing === undefined || existing === "" || existing === bundle ? undefined : readIfThere(existing);
  const before = existing === bundle ? readIfThere(bundle) : undefined;
  const parts = [before ?? others ?? "", authority].map((part) => part.trim()).filter((part) => part !== "");
  const whole = before?.includes(authority.trim()) === true ? before.trim() : parts.join("\n");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  await writeIfOther(own, authority);
  await writeIfOther(bundle, `${whole}\n`);
  return { own, bundle };
}

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
