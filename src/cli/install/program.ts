import { createHash } from "node:crypto";
import { existsSync, globSync, readFileSync } from "node:fs";
import {
  chmod,
  chown,
  cp,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { run } from "../../lib/command.ts";
import { clientEnvironment, runLoud } from "./client-programs.ts";
import { currentProgram, type Layout, nodeOf } from "./layout.ts";
import { withoutDevelopment } from "./production.ts";

/** What of a checkout is the program; tests and development are not. */
const PARTS = ["bin", "buildkit", "examples", "src", "toolchain"];
const FILES = ["package.json", "package-lock.json", "README.md", "LICENSE"];
const VERSIONS_KEPT = 3;

/** Files of the program in a checkout, relative, sorted. */
export function programFiles(root: string): readonly string[] {
  const inParts = PARTS.flatMap((part) =>
    globSync(`${part}/**/*`, { cwd: root, withFileTypes: true, exclude: (entry) => entry.name === "node_modules" }),
  )
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .filter((path) => !path.endsWith(".test.ts"));
  return [...inParts, ...FILES.filter((file) => existsSync(join(root, file)))].toSorted();
}

/** `0.1.0-1a2b3c4d5e`: the version with a hash of every file, so that another content is another program. */
export function programName(root: string, files = programFiles(root)): string {
  const hash = createHash("sha256");
  for (const file of files) {
    const content = readFileSync(join(root, file));
    hash.update(`${file}\0${content.length}\0`).update(content);
  }
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  return `${version}-${hash.digest("hex").slice(0, 10)}`;
}

/** Where the checkout's content is installed already. */
export function installedProgram(root: string, layout: Layout): string | undefined {
  const folder = join(layout.programs, programName(root));
  return existsSync(folder) ? folder : undefined;
}

export interface InstallOptions {
  readonly root: string;
  readonly layout: Layout;
  /** A toolchain that `bin/up` has fetched already. */
  readonly fetchedToolchain: string | undefined;
  readonly detail: (text: string) => void;
}

/**
 * Copies the program of a checkout below the folder of programs, root-owned and writable by nobody else, with its
 * dependencies and toolchain; the folder appears whole or not at all. Gives its path.
 */
export async function installProgram({ root, layout, fetchedToolchain, detail }: InstallOptions): Promise<string> {
  const files = programFiles(root);
  const target = join(layout.programs, programName(root, files));
  await mkdir(layout.programs, { recursive: true, mode: 0o755 });
  for (const left of globSync(join(layout.programs, ".new-*"))) await rm(left, { recursive: true, force: true });
  if (existsSync(target)) return target;
  const fresh = await mkdtemp(join(layout.programs, ".new-"));
  await copyFiles(root, fresh, files);
  await keepProductionOnly(fresh);
  const before = currentProgram(layout);
  detail("Node and npm for builds");
  await fillToolchain(join(fresh, "toolchain"), before && join(before, "toolchain"), fetchedToolchain);
  detail("dependencies");
  await fillDependencies(fresh, before);
  await chmod(fresh, 0o755);
  await rename(fresh, target);
  return target;
}

/** Makes `current` name the program, and forgets programs older than the last few. */
export async function makeCurrent(layout: Layout, program: string): Promise<void> {
  const beside = join(layout.programs, ".current");
  await rm(beside, { force: true });
  await symlink(basename(program), beside);
  await rename(beside, layout.current);
  const entries = await readdir(layout.programs, { withFileTypes: true });
  const versions = await Promise.all(
    entries
      .filter((entry) => entry.isDirectory() && /^\d+\.\d+\.\d+-[0-9a-f]{10}$/.test(entry.name))
      .map(async ({ name }) => ({ name, at: (await lstat(join(layout.programs, name))).ctimeMs })),
  );
  const old = versions
    .filter(({ name }) => name !== basename(program))
    .toSorted((one, other) => other.at - one.at)
    .slice(VERSIONS_KEPT - 1);
  for (const { name } of old) await rm(join(layout.programs, name), { recursive: true, force: true });
}

async function copyFiles(root: string, target: string, files: readonly string[]): Promise<void> {
  for (const file of files) {
    const copy = join(target, file);
    await mkdir(dirname(copy), { recursive: true, mode: 0o755 });
    await cp(join(root, file), copy, { dereference: true });
    const executable = ((await lstat(join(root, file))).mode & 0o100) !== 0;
    await chown(copy, 0, 0);
    await chmod(copy, executable ? 0o755 : 0o644);
  }
}

async function keepProductionOnly(program: string): Promise<void> {
  const [manifest, lock] = [join(program, "package.json"), join(program, "package-lock.json")];
  const kept = withoutDevelopment({ manifest: await readFile(manifest, "utf8"), lock: await readFile(lock, "utf8") });
  await writeFile(manifest, kept.manifest);
  await writeFile(lock, kept.lock);
}

/** The toolchain's `node_modules`: the one just fetched, that of the program before, or from the registry. */
async function fillToolchain(folder: string, before: string | undefined, fetched: string | undefined): Promise<void> {
  const source = [fetched, before].find((each) => each !== undefined && hasSameLock(each, folder));
  if (source !== undefined) {
    await copyTree(join(source, "node_modules"), join(folder, "node_modules"));
    return;
  }
  await npmCi(folder, []);
}

async function fillDependencies(program: string, before: string | undefined): Promise<void> {
  if (before !== undefined && hasSameLock(before, program)) {
    await copyTree(join(before, "node_modules"), join(program, "node_modules"));
    return;
  }
  await npmCi(program, ["--omit=dev"]);
}

function hasSameLock(one: string, other: string): boolean {
  const lock = (folder: string) => readFileSync(join(folder, "package-lock.json"), "utf8");
  return existsSync(join(one, "node_modules")) && lock(one) === lock(other);
}

/** By hard links where both are on one file system: nothing is stored twice. Root's copy is never writable by others. */
async function copyTree(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o755 });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, copy] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) await copyTree(source, copy);
    else if (!entry.isFile() || !(await linked(source, copy))) await cp(source, copy, { verbatimSymlinks: true });
  }
}

async function linked(source: string, copy: string): Promise<boolean> {
  const { uid, mode } = await lstat(source);
  if (uid !== 0 || (mode & 0o022) !== 0) return false;
  try {
    await link(source, copy);
    return true;
  } catch {
    return false; // another file system: the caller copies
  }
}

/** `npm ci` with the machine's npm, or the toolchain's where this program has one; no script of any package runs. */
async function npmCi(folder: string, more: readonly string[]): Promise<void> {
  const own = join(dirname(folder), "toolchain");
  const options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"];
  const args = ["ci", "--prefix", folder, ...options, ...more];
  const cli = [join(folder, "toolchain"), own]
    .map((toolchain) => join(toolchain, "node_modules", "npm", "bin", "npm-cli.js"))
    .find((path) => existsSync(path));
  const env = clientEnvironment();
  if (cli === undefined) await runLoud("npm", args, { env, cwd: folder, onLine: () => {} });
  else await runLoud(nodeOf(folder) ?? process.execPath, [cli, ...args], { env, cwd: folder, onLine: () => {} });
  await run("chown", ["-R", "root:root", "--", join(folder, "node_modules")]);
  await run("chmod", ["-R", "go-w", "--", join(folder, "node_modules")]);
}
