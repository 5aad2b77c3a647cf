import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BuildFailed } from "./failure.ts";
import type { Go } from "./messages.ts";
import { killGroup, outputOf, startProgram, statusOf } from "./processes.ts";

export interface CheckoutOptions {
  readonly commit: string;
  /** GIT_DIR and what shows the quarantined objects. */
  readonly gitEnv: Readonly<Record<string, string>>;
  readonly limits: Go["limits"];
  /** An existing empty folder for the files. */
  readonly tree: string;
  /** A folder for what must not be among them. */
  readonly work: string;
}

export interface Checkout {
  readonly submodules: readonly string[];
  readonly ignored: number;
}

/** Writes the commit's files to `tree`, without those that `.slugignore` names (spec 9.2). */
export async function checkOut(options: CheckoutOptions): Promise<Checkout> {
  const submodules = await measure(options);
  mkdirSync(options.work, { recursive: true });
  const env = { ...options.gitEnv, GIT_WORK_TREE: options.tree, GIT_INDEX_FILE: join(options.work, "index") };
  const git = (...args: readonly string[]) =>
    outputOf("git", args, { env, cwd: options.tree, bytesMax: 256 * 1024 * 1024 });
  await git("read-tree", options.commit);
  const ignored = await dropIgnored(git, options.work);
  await git("checkout-index", "--all", "--force", "--quiet");
  return { submodules, ignored };
}

/**
 * Refuses a tree that is too large before anything of it is written; a few kilobytes of git objects can name billions of
 * files. Gives the paths of submodules.
 */
async function measure({ commit, gitEnv, limits }: CheckoutOptions): Promise<readonly string[]> {
  const child = startProgram("git", ["ls-tree", "-r", "-l", "-z", "--full-tree", commit], {
    env: { ...gitEnv },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = statusOf(child);
  const submodules: string[] = [];
  let [files, bytes, rest] = [0, 0, ""];
  for await (const chunk of child.stdout?.setEncoding("utf8") ?? []) {
    const entries = (rest + String(chunk)).split("\0");
    rest = entries.pop() ?? "";
    for (const entry of entries) {
      const [, kind, size, path] = /^\d+ (\w+) [0-9a-f]+ +(\S+)\t(.*)$/s.exec(entry) ?? [];
      if (kind === "commit") submodules.push(path ?? "");
      files += 1;
      bytes += Number(size) || 0;
    }
    if (files > limits.files || bytes > limits.treeBytes) {
      killGroup(child);
      await ended;
      throw tooLarge(limits);
    }
  }
  if ((await ended) !== 0) throw new Error("git ls-tree failed");
  return submodules;
}

function tooLarge(limits: Go["limits"]): BuildFailed {
  const megabytes = Math.round(limits.treeBytes / 1024 / 1024);
  return new BuildFailed(
    `The files of this commit are too many or too large (at most ${megabytes} MB and ${limits.files} files).`,
    "Push failed",
  );
}

type Git = (...args: readonly string[]) => Promise<Buffer>;

/** Takes what `.slugignore` names out of the index, so that it is never written. Git's own patterns, without negation. */
async function dropIgnored(git: Git, work: string): Promise<number> {
  const text = await git("show", ":.slugignore").catch(() => undefined); // there is none
  if (!text) return 0;
  const patterns = join(work, "slugignore");
  const lines = text.toString("utf8").split(/\r?\n/);
  writeFileSync(patterns, `${lines.filter((line) => !line.startsWith("!")).join("\n")}\n`);
  const names = await git("ls-files", "--cached", "--ignored", "-z", `--exclude-from=${patterns}`);
  const list = join(work, "ignored");
  writeFileSync(list, names);
  await git(
    "rm",
    "--cached",
    "--quiet",
    "--force",
    "--ignore-unmatch",
    `--pathspec-from-file=${list}`,
    "--pathspec-file-nul",
  );
  return names.reduce((count, byte) => count + (byte === 0 ? 1 : 0), 0);
}
