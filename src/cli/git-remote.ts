import { existsSync } from "node:fs";
import { run } from "../lib/command.ts";
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
 * lets git ask us for the token there. `heroku` is its name, as people expect, unless one of that name points elsewhere.
 */
export async function setRemote(platform: Platform, app: string, asked?: string): Promise<void> {
  if (!(await insideRepository())) return;
  const remotes = await gitRemotes();
  const ours = originsOf(platform);
  const elsewhere = remotes.some((each) => each.name === "heroku" && !ours.has(originOf(each.url)));
  const name = asked ?? (elsewhere ? "stator" : "heroku");
  const url = gitUrl(platform, app);
  const known = remotes.some((each) => each.name === name);
  await git(known ? ["remote", "set-url", "--", name, url] : ["remote", "add", "--", name, url]);
  await letGitAskUs(platform);
  note(`set git remote ${name} to ${url}`);
}

/** Forgets the remotes of an app that is gone. */
export async function dropRemotes(platform: Platform, app: string): Promise<void> {
  const gone = appsOfRemotes(await gitRemotes(), originsOf(platform)).filter((each) => each.app === app);
  for (const { remote } of gone) await git(["remote", "remove", remote]);
}

/** In this repository only: the token by our credential helper, and no proxy on the way to this machine. */
async function letGitAskUs(platform: Platform): Promise<void> {
  const section = `credential.${platform.url}`;
  await git(["config", "--replace-all", `${section}.helper`, ""]); // whatever helper the person has otherwise
  await git(["config", "--add", `${section}.helper`, `${launcher()} git:credentials`]);
  if (platform.local) await git(["config", `http.${platform.url}/.proxy`, ""]);
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
