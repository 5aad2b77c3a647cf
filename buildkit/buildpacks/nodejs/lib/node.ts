import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { arch, execPath, version as ownVersion } from "node:process";
import { outputOf, type RunOptions, Trouble } from "./output.ts";
import { DEFAULT_NODE, newest, semverOf } from "./versions.ts";

/** Where Node and npm come from: the npm registry's `node` package family, one package for each platform. */
const FAMILY = `node-linux-${arch}`;
/** npm versions to fall back to, newest first, for a Node that the platform's own npm does not run on. */
const OLDER_NPM = ["11", "10", "8", "6"];

export interface Sources {
  /** npm-cli.js of the platform. */
  readonly npm: string;
  readonly cache: string;
  readonly work: string;
  readonly options: RunOptions;
}

export interface Wanted {
  readonly node: string | null;
  readonly npm: string | null;
}

/** Puts the Node that the app asks for, and an npm that runs on it, below `home`. Gives both versions. */
export async function installNode(
  wanted: Wanted,
  home: string,
  sources: Sources,
): Promise<{ readonly node: string; readonly npm: string }> {
  const node = await resolve(FAMILY, "Node.js", wanted.node ?? DEFAULT_NODE, sources);
  const binary = await nodeBinary(node, sources);
  mkdirSync(join(home, "bin"), { recursive: true });
  copyFileSync(binary, join(home, "bin", "node"));
  chmodSync(join(home, "bin", "node"), 0o755);
  const npm = await installNpm(wanted.npm, node, home, sources);
  return { node, npm };
}

/** The newest version of a package that satisfies the range. */
async function resolve(name: string, title: string, range: string, sources: Sources): Promise<string> {
  const text = await npm(sources, ["view", name, "versions", "--json"]);
  const versions: unknown = JSON.parse(text);
  const all = (Array.isArray(versions) ? versions : [versions]).map(String);
  const found = newest(all, range, semverOf(sources.npm));
  if (found === undefined) throw new Trouble(`No version of ${title} satisfies "${range}" (engines in package.json).`);
  return found;
}

/** The binary of exactly this version: the platform's own, or the one kept from the last build, or the registry's. */
async function nodeBinary(version: string, sources: Sources): Promise<string> {
  if (`v${version}` === ownVersion) return execPath;
  const shelf = join(sources.cache, "node");
  const kept = join(shelf, version, "node");
  if (existsSync(kept)) return kept;
  rmSync(shelf, { recursive: true, force: true }); // one version is enough to keep
  const unpacked = await unpack(`${FAMILY}@${version}`, ["package/bin/node"], sources);
  mkdirSync(shelf, { recursive: true });
  renameOrCopy(join(unpacked, "package", "bin"), join(shelf, version));
  return kept;
}

async function installNpm(range: string | null, node: string, home: string, sources: Sources): Promise<string> {
  const from = await npmFolder(range, node, sources);
  const to = join(home, "lib", "node_modules", "npm");
  cpSync(from, to, { recursive: true, dereference: false, verbatimSymlinks: true });
  for (const [name, file] of [
    ["npm", "npm-cli.js"],
    ["npx", "npx-cli.js"],
  ] as const) {
    chmodSync(join(to, "bin", file), 0o755);
    symlinkSync(`../lib/node_modules/npm/bin/${file}`, join(home, "bin", name));
  }
  return packageOf(to).version;
}

async function npmFolder(range: string | null, node: string, sources: Sources): Promise<string> {
  const own = join(dirname(sources.npm), "..");
  if (range === null && semverOf(sources.npm).satisfies(node, packageOf(own).node)) return own;
  const ranges = range === null ? OLDER_NPM : [range];
  for (const each of ranges) {
    const version = await resolve("npm", "npm", each, sources);
    const kept = join(sources.cache, "npm-program", version);
    if (!existsSync(kept)) {
      rmSync(dirname(kept), { recursive: true, force: true });
      mkdirSync(dirname(kept), { recursive: true });
      renameOrCopy(join(await unpack(`npm@${version}`, ["package"], sources), "package"), kept);
    }
    if (range !== null || semverOf(sources.npm).satisfies(node, packageOf(kept).node)) return kept;
  }
  throw new Trouble(
    `No npm is known that runs on Node.js ${node}; name one in package.json: "engines": {"npm": "..."}.`,
  );
}

function packageOf(folder: string): { readonly version: string; readonly node: string } {
  const { version, engines } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as {
    readonly version: string;
    readonly engines?: { readonly node?: string };
  }; // npm's own package.json
  return { version, node: engines?.node ?? "*" };
}

/** Fetches an exact version of a package from the registry (npm checks its digest) and unpacks the named members. */
async function unpack(name: string, members: readonly string[], sources: Sources): Promise<string> {
  const folder = join(sources.work, `unpacked-${name.replaceAll(/[^\w.-]/g, "-")}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  // A cache of its own: the app's would hold the archive for ever.
  await npm(sources, ["pack", name, "--silent", "--pack-destination", folder, "--cache", join(folder, "cache")]);
  const archive = readdirSync(folder).find((file) => file.endsWith(".tgz"));
  if (archive === undefined) throw new Trouble(`npm gave no archive for ${name}.`);
  await outputOf(
    "tar",
    ["--extract", "--gzip", "--no-same-owner", "--file", join(folder, archive), "--directory", folder, ...members],
    sources.options,
  );
  rmSync(join(folder, archive));
  rmSync(join(folder, "cache"), { recursive: true, force: true });
  return folder;
}

async function npm(sources: Sources, args: readonly string[]): Promise<string> {
  return outputOf(execPath, [sources.npm, ...args], sources.options);
}

/** The cache may be another file system. */
function renameOrCopy(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch {
    cpSync(from, to, { recursive: true, verbatimSymlinks: true });
    rmSync(from, { recursive: true, force: true });
  }
}
