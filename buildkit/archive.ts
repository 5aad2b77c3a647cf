import { createHash } from "node:crypto";
import {
  createReadStream,
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { BuildFailed } from "./failure.ts";
import type { ArchiveJob, Go } from "./messages.ts";
import { killGroup, outputOf, ProgramFailed, startProgram, statusOf } from "./processes.ts";
import { gitEnvironment } from "./repository.ts";

/** Compressed; more is not fetched. The daemon takes no larger uploads either. */
export const ARCHIVE_BYTES_MAX = 1024 ** 3;
const FETCH_SECONDS = 600;

/** Fetches what `url` names. From inside the dyno: it reaches what dynos may reach, and no private address. */
export async function fetchFile(url: string, to: string, what: string): Promise<void> {
  const args = ["--fail", "--silent", "--show-error", "--location", "--max-redirs", "5", "--proto", "=https"];
  const limits = [
    "--connect-timeout",
    "20",
    "--max-time",
    String(FETCH_SECONDS),
    "--max-filesize",
    String(ARCHIVE_BYTES_MAX),
  ];
  try {
    await outputOf("curl", [...args, ...limits, "--globoff", "--output", to, "--url", url], {
      env: { ...process.env, HOME: to },
    });
  } catch (error) {
    if (!(error instanceof ProgramFailed)) throw error;
    throw new BuildFailed(`${what} could not be fetched: ${lastLine(error.stderr)}`, "Push failed");
  }
}

/** Throws `BuildFailed` unless the file has the sum and the size that it should. */
export async function checkArchive(archive: string, sha256: string | null): Promise<void> {
  if (statSync(archive).size > ARCHIVE_BYTES_MAX)
    throw new BuildFailed(`The archive is larger than ${ARCHIVE_BYTES_MAX / 1024 ** 2} MB.`, "Push failed");
  if (sha256 === null) return;
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(archive)) hash.update(chunk as Buffer); // no encoding set
  const actual = hash.digest("hex");
  if (actual === sha256) return;
  throw new BuildFailed(
    `The archive is not the one that was meant. Expected: SHA256:${sha256} Actual: SHA256:${actual}`,
    "Push failed",
  );
}

export interface Unpacking {
  readonly archive: string;
  /** An existing empty folder, which is replaced. */
  readonly tree: string;
  /** A folder on the same file system for what must not be among the files. */
  readonly work: string;
  readonly limits: Go["limits"];
  /** A slug: everything is below `app/`. Else a folder that holds everything is left away, as forges pack it. */
  readonly service: ArchiveJob["service"];
}

/** Writes the files of a tar, packed in any way that GNU tar knows, to `tree`. Throws `BuildFailed`. */
export async function unpackArchive({ archive, tree, work, limits, service }: Unpacking): Promise<void> {
  await measure(archive, limits);
  const all = join(work, "unpacked");
  mkdirSync(all, { recursive: true });
  try {
    // tar itself refuses to leave the folder, also by way of links that are in the archive.
    await outputOf(
      "tar",
      ["--extract", "--no-same-owner", "--no-same-permissions", "--file", archive, "--directory", all],
      { env: { ...process.env } },
    );
  } catch (error) {
    throw unreadable(error);
  }
  const entries = readdirSync(all, { withFileTypes: true });
  const [only, ...more] = entries;
  const isWrapped = only !== undefined && more.length === 0 && only.isDirectory() && only.name !== "bin";
  if (service === "slug" && (!isWrapped || only.name !== "app"))
    throw new BuildFailed("A slug is a tar of one folder, ./app, with everything in it.");
  rmdirSync(tree);
  renameSync(isWrapped ? join(all, only.name) : all, tree);
}

/** Refuses what is too large, or is no file, folder or link, before anything of it is written. */
async function measure(archive: string, limits: Go["limits"]): Promise<void> {
  const args = [
    "--list",
    "--verbose",
    "--numeric-owner",
    "--quoting-style=escape",
    "--absolute-names",
    "--file",
    archive,
  ];
  const child = startProgram("tar", args, { env: { ...process.env }, stdio: ["ignore", "pipe", "pipe"] });
  const ended = statusOf(child);
  const complaints: Buffer[] = [];
  child.stderr?.on("data", (chunk: Buffer) => complaints.length < 100 && complaints.push(chunk));
  let [files, bytes, rest] = [0, 0, ""];
  try {
    for await (const chunk of child.stdout?.setEncoding("utf8") ?? []) {
      const lines = (rest + String(chunk)).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) bytes += sizeOf(line);
      files += lines.length;
      if (files > limits.files || bytes > limits.treeBytes) throw tooLarge(limits);
    }
  } catch (error) {
    killGroup(child);
    await ended;
    throw error;
  }
  const status = await ended;
  if (status !== 0)
    throw unreadable(new ProgramFailed("tar", args, status, Buffer.concat(complaints).toString("utf8")));
}

const KINDS = new Set(["-", "d", "l", "h", "C"]);

/** Bytes of one line of `tar --list --verbose`. Throws `BuildFailed` for what must not be in an archive. */
function sizeOf(line: string): number {
  const [, kind = "", size = "", name = ""] = /^(.)\S+ +\S+ +([\d,]+) +\S+ +\S+ (.*)$/.exec(line) ?? [];
  if (!KINDS.has(kind))
    throw new BuildFailed(`The archive holds what is no file, folder or link: ${name}`, "Push failed");
  if (/^\/|(?:^|\/)\.\.(?:\/|$)/.test(name.split(" -> ", 1)[0] ?? ""))
    throw new BuildFailed(`The archive holds a path that leaves its folder: ${name}`, "Push failed");
  return kind === "-" || kind === "C" ? Number(size) || 0 : 0;
}

function tooLarge(limits: Go["limits"]): BuildFailed {
  const megabytes = Math.round(limits.treeBytes / 1024 / 1024);
  return new BuildFailed(
    `The files of the archive are too many or too large (at most ${megabytes} MB and ${limits.files} files).`,
    "Push failed",
  );
}

function unreadable(error: unknown): unknown {
  if (!(error instanceof ProgramFailed)) return error;
  return new BuildFailed(
    `The archive could not be unpacked, it must be a tar.gz: ${lastLine(error.stderr)}`,
    "Push failed",
  );
}

/** What a program complained about, without control characters. */
function lastLine(text: string): string {
  const lines = text.split("\n").filter((line) => line.trim() !== "" && !/not recoverable|Child returned/.test(line));
  return (lines.at(-1) ?? "").replace(/\p{Cc}/gu, "?").slice(0, 300);
}

/** Removes what `.slugignore` names (spec 9.2). Git's own patterns, without negation. Gives how many files went. */
export async function removeIgnored(tree: string, text: string, work: string): Promise<number> {
  const repository = join(work, "ignore.git");
  const env = { ...gitEnvironment(work), GIT_DIR: repository, GIT_WORK_TREE: tree };
  await outputOf("git", ["init", "--quiet", "--bare", "--template=", repository], { env: gitEnvironment(work) });
  const patterns = join(work, "slugignore");
  const lines = text.split(/\r?\n/).filter((line) => !line.startsWith("!"));
  writeFileSync(patterns, `${lines.join("\n")}\n`);
  const list = ["ls-files", "--others", "--ignored", "-z", `--exclude-from=${patterns}`];
  const names = await outputOf("git", list, { env, cwd: tree, bytesMax: 256 * 1024 * 1024 });
  const paths = names.toString("utf8").split("\0").filter(Boolean);
  for (const path of paths) rmSync(join(tree, path), { force: true });
  return paths.length;
}
