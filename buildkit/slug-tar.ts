import { lstatSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { BuildFailed } from "./failure.ts";
import type { FrameWriter } from "./frames.ts";
import { startProgram, statusOf } from "./processes.ts";

/**
 * The tree as a tar that is the same bytes for the same files, whoever made them and when: sorted, no times, no owners,
 * no links between files, no set-uid bits; every file readable and every folder open to its owner.
 */
const OPTIONS = [
  "--create",
  "--format=posix",
  "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime,delete=mtime",
  "--sort=name",
  "--mtime=@0",
  "--owner=0",
  "--group=0",
  "--numeric-owner",
  "--mode=u+rwX,go+rX,go-w,a-st",
  "--hard-dereference",
  "--no-acls",
  "--no-xattrs",
  "--no-selinux",
  "--file=-",
];

/** Sends the tree as `slug` frames and then `slugEnd`. */
export async function sendTree(tree: string, daemon: FrameWriter): Promise<void> {
  removeSpecialFiles(Buffer.from(tree));
  const tar = startProgram("tar", [...OPTIONS, "--directory", tree, "."], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = statusOf(tar);
  if (tar.stdout) for await (const chunk of tar.stdout) await daemon.sendBytes("slug", chunk as Buffer); // no encoding set
  const status = await ended;
  if (status !== 0)
    throw new BuildFailed(`The result of the build could not be packed (tar: status ${status}).`, "Push failed");
  await daemon.send("slugEnd");
}

/** Sockets and pipes that a build left behind are not part of an app. Names are bytes: a build may use any. */
function removeSpecialFiles(folder: Buffer): void {
  for (const entry of readdirSync(folder, { withFileTypes: true, encoding: "buffer" })) {
    const path = Buffer.concat([folder, Buffer.from("/"), entry.name]);
    if (entry.isDirectory()) removeSpecialFiles(path);
    else if (!entry.isFile() && !entry.isSymbolicLink()) rmSync(path);
  }
}

/** Where the files of the app are written and built; always the same path, so that builds are the same bytes. */
export function treeFolder(work: string): string {
  return join(work, "build");
}

/** A regular file's size; undefined for anything else. */
export function fileSize(path: string): number | undefined {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  return stats?.isFile() ? stats.size : undefined;
}
