import { readFileSync } from "node:fs";
import { type Config, loadConfig } from "../config.ts";
import { UsageError } from "./command.ts";
import { readCredentials } from "./credentials.ts";

/** Which platform the commands speak to, and as whom. */
export interface Platform {
  /** Origin of its API, without a slash at the end. */
  readonly url: string;
  readonly token: string | undefined;
  /** PEM of a CA to trust besides the machine's. */
  readonly ca: string | undefined;
  /** Whether it is the installation on this machine. */
  readonly local: boolean;
}

type Env = Readonly<Record<string, string | undefined>>;

/** STATOR_URL; else the local one where STATOR_HOME or a port is set; else what `stator login` made the default; else the local one. */
export function choosePlatform(env: Env = process.env, credentials = readCredentials()): Platform {
  const given = env["STATOR_URL"];
  if (given !== undefined && given !== "") return platformAt(originOf(given), env, credentials, false);
  const byDefault = Object.entries(credentials).find(([, each]) => each.default === true)?.[0];
  const namesLocal = ["STATOR_HOME", "STATOR_API_PORT"].some((name) => env[name] !== undefined && env[name] !== "");
  if (byDefault !== undefined && !namesLocal) return platformAt(byDefault, env, credentials, false);
  return platformAt(localUrl(loadConfig(env)), env, credentials, true);
}

/** The platform at this URL, with what is saved for it. */
export function platformNamed(url: string, env: Env = process.env, credentials = readCredentials()): Platform {
  return platformAt(url, env, credentials, url === localUrl(loadConfig(env)));
}

/** 127.0.0.1, never `localhost`: many resolvers do not know what is below it. */
export function localUrl(config: Config): string {
  return `http://127.0.0.1:${config.apiPort}`;
}

function platformAt(url: string, env: Env, credentials: ReturnType<typeof readCredentials>, local: boolean): Platform {
  const saved = credentials[url];
  const caFile = env["STATOR_CA_FILE"];
  return {
    url,
    token: env["STATOR_TOKEN"] || saved?.token,
    ca: caFile === undefined || caFile === "" ? saved?.ca : readFileSync(caFile, "utf8"),
    local,
  };
}

/** `https://host:5443` of what a person typed. Throws `UsageError`. */
export function originOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol))
    throw new UsageError(`${text} is not a URL. Type it as https://host:5443`);
  return url.origin;
}
