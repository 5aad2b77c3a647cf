import { existsSync } from "node:fs";
import { ended, run, start } from "../lib/command.ts";
import { appsOfRemotes, gitRemotes, originsOf } from "./app-name.ts";
import { note } from "./output.ts";
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
  note(`set git remote ${name} to ${url}`);
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
  const settings = credentialSettings(platform).flatMap(([key, value]) => ["-c", `${key}=${value}`]);
  const args = ["clone", ...settings, "-o", remote, "--", gitUrl(platform, app), folder];
  const home = process.env["HOME"];
  const env = home === undefined ? {} : { HOME: home };
  const { code } = await ended(start("git", args, { cwd: process.cwd(), env, stdio: "inherit" }), "git");
  return code ?? 1;
}

/** In this repository only: the token by our credential helper, and no proxy on the way to this machine. */
async function letGitAskUs(platform: Platform): Promise<void> {
  for (const [index, [key, value]] of credentialSettings(platform).entries())
    await git(["config", index === 1 ? "--add" : "--replace-all", key, value]);
}

/** The first empties the list of helpers that the person has otherwise. */
function credentialSettings(platform: Platform): readonly (readonly [string, string])[] {
  const helper = `credential.${platform.url}.helper`;
  const direct = platform.local ? ([[`http.${platform.url}/.proxy`, ""]] as const) : [];
  return [[helper, ""], [helper, `${launcher()} git:credentials`], ...direct];
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
