import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "../../lib/atomic-file.ts";
import { run } from "../../lib/command.ts";
import type { Instance } from "../../model/instance.ts";
import { clientEnvironment } from "./client-programs.ts";
import { nodeOf } from "./layout.ts";

/** How builds reach the world: the machine's registry, proxies and authorities, without any credentials. */
export interface BuildSettings {
  readonly registry?: string;
  readonly proxy?: { readonly http?: string; readonly https?: string; readonly no?: string };
  readonly ca: boolean;
}

type Env = Readonly<Record<string, string | undefined>>;
type NpmConfig = Readonly<Record<string, unknown>>;

/** Picks from npm's own configuration and the environment what builds get. Pure. */
export function buildSettings(npm: NpmConfig, env: Env, ca: boolean): BuildSettings {
  const registry = addressOf(npm["registry"]);
  const http = addressOf(npm["proxy"] ?? env["http_proxy"] ?? env["HTTP_PROXY"]);
  const https = addressOf(npm["https-proxy"] ?? env["https_proxy"] ?? env["HTTPS_PROXY"]) ?? http;
  const none = npm["noproxy"] ?? env["no_proxy"] ?? env["NO_PROXY"];
  const no = (Array.isArray(none) ? none.join(",") : typeof none === "string" ? none : "").replaceAll(/\s/g, "");
  const proxy = { ...(http && { http }), ...(https && { https }), ...(no && { no }) };
  return { ...(registry && { registry }), ...(Object.keys(proxy).length > 0 && { proxy }), ca };
}

/** An http address without user and password; undefined for anything else. */
function addressOf(value: unknown): string | undefined {
  if (typeof value !== "string" || value === "") return undefined;
  const text = /^[a-z]+:\/\//i.test(value) ? value : `http://${value}`;
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  if (url.protocol !== "http:" && url.protocol !== "https:") return undefined;
  url.username = "";
  url.password = "";
  return url.href;
}

/** Files with authorities that the person's settings name, in npm's or the common variables. */
export function authorityFiles(npm: NpmConfig, env: Env): readonly string[] {
  const named = [npm["cafile"], env["NODE_EXTRA_CA_CERTS"], env["SSL_CERT_FILE"], env["CURL_CA_BUNDLE"]];
  return [...new Set(named.filter((each): each is string => typeof each === "string" && each !== ""))];
}

/** Asks the machine's npm what it is set to, for the person who ran `up`. */
export async function npmConfiguration(program: string): Promise<NpmConfig> {
  const node = nodeOf(program) ?? process.execPath;
  const cli = join(program, "toolchain", "node_modules", "npm", "bin", "npm-cli.js");
  const { stdout } = await run(node, [cli, "config", "list", "--json"], { env: clientEnvironment() });
  const value: unknown = JSON.parse(stdout);
  return typeof value === "object" && value !== null ? (value as NpmConfig) : {};
}

/** Writes `build-settings.json` and `build-ca.pem` of the instance, where they would change. */
export async function writeBuildSettings(instance: Instance, npm: NpmConfig, env: Env): Promise<void> {
  const texts = authorityFiles(npm, env)
    .filter((path) => existsSync(path))
    .map((path) => readFileSync(path, "utf8").trim());
  const extra = [...texts, ...inlineAuthorities(npm), ...authoritiesOfTheMachine()];
  // Programs that are given a file trust nothing beside it, so it holds what the machine trusts anyway, too.
  const common = extra.length > 0 && existsSync(SYSTEM_BUNDLE) ? [readFileSync(SYSTEM_BUNDLE, "utf8").trim()] : [];
  const certificates = [...new Set([...common, ...extra])].join("\n");
  if (certificates !== "") await writeIfOther(join(instance.home, "build-ca.pem"), `${certificates}\n`);
  const settings = buildSettings(npm, env, certificates !== "");
  await writeIfOther(join(instance.home, "build-settings.json"), `${JSON.stringify(settings, null, 2)}\n`);
}

/** Where Debian keeps what the machine trusts, and where its administrator adds to that. */
const SYSTEM_BUNDLE = "/etc/ssl/certs/ca-certificates.crt";
const ADDED_AUTHORITIES = "/usr/local/share/ca-certificates/**/*.crt";

function authoritiesOfTheMachine(): readonly string[] {
  return globSync(ADDED_AUTHORITIES).map((path) => readFileSync(path, "utf8").trim());
}

function inlineAuthorities(npm: NpmConfig): readonly string[] {
  const ca = npm["ca"];
  const all: readonly unknown[] = Array.isArray(ca) ? ca : [ca];
  return all.filter((each): each is string => typeof each === "string" && each.includes("BEGIN CERTIFICATE"));
}

async function writeIfOther(path: string, text: string): Promise<void> {
  if (!existsSync(path) || readFileSync(path, "utf8") !== text) await writeFileAtomic(path, text, { mode: 0o644 });
}
