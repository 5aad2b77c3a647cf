import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { outputOf } from "./processes.ts";

/** Pushes of the platform's users; more is refused by git itself. */
const PUSH_BYTES_MAX = 1024 * 1024 * 1024;

/** The whole configuration of a repository: a build could have written another one there, so it is set each time. */
const CONFIG = `[core]
	repositoryformatversion = 0
	filemode = true
	bare = true
`;

/** Settings given on each command line, which nothing in the repository can override. */
export function settings(hooks: string): readonly string[] {
  const all: Readonly<Record<string, string>> = {
    "core.hooksPath": hooks,
    "core.fsmonitor": "false",
    "receive.fsckObjects": "true",
    // Old and harmless mistakes that many real histories have.
    "receive.fsck.zeroPaddedFilemode": "ignore",
    "receive.fsck.badTimezone": "ignore",
    "receive.fsck.missingSpaceBeforeDate": "ignore",
    "receive.maxInputSize": String(PUSH_BYTES_MAX),
    "receive.keepAlive": "5",
    "gc.autoDetach": "false",
    "pack.threads": "2",
    "protocol.version": "2",
  };
  return Object.entries(all).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}

/** Git's environment: no settings of a user's or of the stack's. */
export function gitEnvironment(home: string): Readonly<Record<string, string>> {
  return {
    PATH: process.env["PATH"] ?? "/usr/local/bin:/usr/bin:/bin",
    HOME: home,
    LANG: "C.UTF-8",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_TERMINAL_PROMPT: "0",
  };
}

/** Makes the bare repository at the first use, and puts its configuration right. */
export async function prepareRepository(folder: string): Promise<void> {
  const env = gitEnvironment(folder);
  if (!existsSync(join(folder, "HEAD"))) {
    await outputOf("git", ["init", "--quiet", "--bare", "--template=", "--initial-branch=main", folder], { env });
  }
  const config = join(folder, "config");
  if (existsSync(config) && readFileSync(config, "utf8") === CONFIG) return;
  const beside = `${config}.${process.pid}.new`;
  writeFileSync(beside, CONFIG);
  renameSync(beside, config);
}

/** What git has packed and what lies loose, in whole kibibytes; null: git does not say. */
export async function repositoryBytesOf(folder: string): Promise<number | null> {
  const counting = ["--git-dir", folder, "count-objects", "-v"];
  const said = await outputOf("git", counting, { env: gitEnvironment(folder) }).catch(() => Buffer.alloc(0));
  const sizes = [...said.toString("utf8").matchAll(/^size(?:-pack)?: (\d{1,12})$/gm)].map(([, size]) => Number(size));
  return sizes.length === 0 ? null : 1024 * sizes.reduce((sum, size) => sum + size, 0);
}

/** Clones get the branch that is deployed. */
export async function pointHead(folder: string, ref: string): Promise<void> {
  await outputOf("git", ["--git-dir", folder, "symbolic-ref", "HEAD", ref], { env: gitEnvironment(folder) });
}
