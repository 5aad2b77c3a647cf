import { existsSync, mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { writeFileAtomic } from "../lib/atomic-file.ts";
import { ended, run, start } from "../lib/command.ts";
import { appsOfRemotes, gitRemotes, originsOf } from "./app-name.ts";
import { warn } from "./output.ts";
import type { Platform } from "./platform.ts";

/** The installed launcher, so that a repository's settings survive an upgrade and a moved checkout. */
const INSTALLED = "/usr/local/bin/stator";

export function gitUrl(platform: Platform, app: string): string {
  return `${platform.url}/${app}.git`;
}

/**
 * Makes or changes the git remote of an app in the repository around the current folder (nothing where there is none), and
 * lets git ask us for the token there; gives its name. `heroku` it is, as people expect, unless one of that name points elsewhere.
 */
export async function setRemote(platform: Platform, app: string, asked?: string): Promise<string | undefined> {
  if (!(await insideRepository())) return undefined;
  const remotes = await gitRemotes();
  const ours = originsOf(platform);
  const elsewhere = remotes.some((each) => each.name === "heroku" && !ours.has(originOf(each.url)));
  const name = asked ?? (elsewhere ? "stator" : "heroku");
  const url = gitUrl(platform, app);
  const known = remotes.some((each) => each.name === name);
  await git(known ? ["remote", "set-url", "--", name, url] : ["remote", "add", "--", name, url]);
  await letGitAskUs(platform);
  if (platform.ca !== undefined && process.env["GIT_SSL_CAINFO"])
    warn("GIT_SSL_CAINFO is set, so git will not look at the platform's own authority: unset GIT_SSL_CAINFO to push.");
  return name;
}

/** Forgets the remotes of an app that is gone. */
export async function dropRemotes(platform: Platform, app: string): Promise<void> {
  const gone = appsOfRemotes(await gitRemotes(), originsOf(platform)).filter((each) => each.app === app);
  for (const { remote } of gone) await git(["remote", "remove", remote]);
}

/** Lets the remotes of an app follow its new name; gives their names. */
export async function renameRemotes(platform: Platform, old: string, name: string): Promise<readonly string[]> {
  const ours = appsOfRemotes(await gitRemotes(), originsOf(platform)).filter((each) => each.app === old);
  for (const { remote } of ours) await git(["remote", "set-url", "--", remote, gitUrl(platform, name)]);
  return ours.map(({ remote }) => remote);
}

/** Clones an app's repository, which asks us for the token from then on; gives git's exit status. */
export async function clone(platform: Platform, app: string, folder: string, remote: string): Promise<number> {
  const settings = (await gitSettings(platform)).flatMap(([key, value]) => ["-c", `${key}=${value}`]);
  const args = ["clone", ...settings, "-o", remote, "--", gitUrl(platform, app), folder];
  const home = process.env["HOME"];
  const env = home === undefined ? {} : { HOME: home };
  const { code } = await ended(start("git", args, { cwd: process.cwd(), env, stdio: "inherit" }), "git");
  return code ?? 1;
}

/** In this repository only: what git needs to know of the platform, each setting anew. */
async function letGitAskUs(platform: Platform): Promise<void> {
  const settings = await gitSettings(platform);
  for (const key of new Set(settings.map(([each]) => each))) {
    const [first, ...more] = settings.filter(([each]) => each === key).map(([, value]) => value);
    await git(["config", "--replace-all", key, first ?? ""]);
    for (const value of more) await git(["config", "--add", key, value]);
  }
}

/**
 * Settings for git, in turn: the token by our credential helper, in place of whatever helper the person has otherwise; the platform's
 * own authority; and no proxy on the way to this machine.
 */
export async function gitSettings(platform: Platform): Promise<readonly (readonly [string, string])[]> {
  const section = `credential.${platform.url}`;
  return [
    [`${section}.helper`, ""],
    [`${section}.helper`, `${launcher()} git:credentials`],
    ...(platform.ca === undefined
      ? []
      : [[`http.${platform.url}/.sslCAInfo`, await authorityFile(platform.url, platform.ca)] as const]),
    ...(platform.local ? [[`http.${platform.url}/.proxy`, ""] as const] : []),
  ];
}

/** Git wants it as a file. */
async function authorityFile(url: string, pem: string): Promise<string> {
  const folder = join(process.env["HOME"] ?? homedir(), ".config", "stator");
  const path = join(folder, `ca-${new URL(url).host.replaceAll(/[^\w.-]/g, "_")}.pem`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  await writeFileAtomic(path, pem, { mode: 0o644 });
  return path;
}

function launcher(): string {
  const own = new URL("../../bin/stator", import.meta.url).pathname;
  return existsSync(INSTALLED) ? INSTALLED : own;
}

async function insideRepository(): Promise<boolean> {
  try {
    await git(["rev-parse", "--git-dir"]);
    return true;
  } catch {
    return false; // no repository, or no git
  }
}

async function git(args: readonly string[]): Promise<void> {
  const home = process.env["HOME"];
  await run("git", args, { cwd: process.cwd(), env: home === undefined ? {} : { HOME: home } });
}

function originOf(url: string): string {
  return URL.canParse(url) ? new URL(url).origin : url;
}
