import { chmod, lstat, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { DYNO_GROUP, DYNO_USER, EMPTIED, FILES, MOUNT_FOLDERS, NAME_SERVICES, REMOVED } from "./stack-recipe.ts";

/**
 * Turns a tree that the distribution's tools made into a stack: without what is of this machine or of today, with the dyno's
 * user and the places where things are mounted. Never writes into a file: its links may be another tree's.
 */
export async function finishTree(tree: string): Promise<void> {
  for (const path of EMPTIED) await empty(join(tree, path));
  for (const path of REMOVED) await rm(join(tree, path), { force: true });
  for (const path of MOUNT_FOLDERS) await mkdir(join(tree, path), { recursive: true, mode: 0o755 });
  for (const path of ["/tmp", "/var/tmp"]) await chmod(join(tree, path), 0o1777);
  for (const [path, text] of Object.entries(FILES)) await replace(join(tree, path), text);
  await change(join(tree, "/etc/passwd"), (text) => withLine(text, DYNO_USER));
  await change(join(tree, "/etc/group"), (text) => withLine(text, DYNO_GROUP));
  await change(join(tree, "/etc/nsswitch.conf"), (text) => text.replace(/^hosts:.*$/m, NAME_SERVICES));
  await change(join(tree, "/etc/shadow"), (text) => text.replace(/^([^:]*:[^:]*):\d*:/gm, "$1:19000:"));
  await dropPowers(tree);
}

async function empty(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => []))
    await rm(join(folder, name), { recursive: true, force: true });
}

/** Set-user-id and set-group-id have no power in a dyno; without them nobody has to believe that. */
async function dropPowers(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await dropPowers(path);
    else if (entry.isFile()) {
      const { mode } = await lstat(path);
      if ((mode & 0o6000) !== 0) await chmod(path, mode & 0o1777);
    }
  }
}

async function change(path: string, edit: (text: string) => string): Promise<void> {
  const text = await readFile(path, "utf8").catch(() => undefined); // not every distribution has each of them
  if (text !== undefined) await replace(path, edit(text));
}

async function replace(path: string, text: string): Promise<void> {
  const mode = await lstat(path).then(
    (found) => (found.isFile() ? found.mode & 0o777 : 0o644),
    () => 0o644,
  );
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.new`, text);
  await chmod(`${path}.new`, mode);
  await rename(`${path}.new`, path);
}

const withLine = (text: string, line: string): string =>
  text.split("\n").includes(line) ? text : `${text.replace(/\n*$/, "\n")}${line}\n`;
