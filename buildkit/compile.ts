import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execPath } from "node:process";
import { StringDecoder } from "node:string_decoder";
import { removeIgnored, unpackArchive } from "./archive.ts";
import { accepted, type Buildpack, findBuildpacks } from "./buildpacks.ts";
import { checkOut } from "./checkout.ts";
import { BuildFailed, diskFull, saysDiskFull } from "./failure.ts";
import { APP_JSON_BYTES_MAX, type Compiled, type Go, PROCFILE_BYTES_MAX, RELEASE_BYTES_MAX } from "./messages.ts";
import type { Places } from "./places.ts";
import { killGroup, outputOf, startProgram, statusOf } from "./processes.ts";
import { fileSize, treeFolder } from "./slug-tar.ts";

export { BuildFailed } from "./failure.ts";

/** Where the app's files come from. */
export type Source =
  | { readonly kind: "commit"; readonly commit: string; readonly gitEnv: Readonly<Record<string, string>> }
  /** `slug`: built elsewhere, and taken as it is. */
  | { readonly kind: "source" | "slug"; readonly archive: string; readonly version: string | null };

export interface Compilation {
  readonly places: Places;
  readonly source: Source;
  readonly go: Go;
  readonly say: (text: Uint8Array | string) => Promise<void>;
  readonly signal: AbortSignal;
}

interface Folders {
  readonly tree: string;
  readonly cache: string;
  /** ENV_DIR: one file for each config var. */
  readonly env: string;
  readonly work: string;
}

/** Sources to a tree that can run: the classic buildpack API (spec 9.3). Throws `BuildFailed` with what the pusher should know. */
export async function compile(
  compilation: Compilation,
): Promise<{ readonly compiled: Compiled; readonly tree: string }> {
  const { go, places, source } = compilation;
  const folders = makeFolders(compilation);
  try {
    await prepareTree(compilation, folders);
    const built = source.kind === "slug" ? { name: "", release: "" } : await runBuildpacks(compilation, folders);
    const procfile = readText(folders.tree, "Procfile", PROCFILE_BYTES_MAX);
    const appJson = readText(folders.tree, "app.json", APP_JSON_BYTES_MAX);
    const { name, release } = built;
    return { compiled: { procfile, release, appJson, buildpack: name }, tree: folders.tree };
  } catch (error) {
    if (!saysDiskFull(error)) throw error;
    rmSync(join(places.cache, go.stack), { recursive: true, force: true });
    throw diskFull(go.limits.diskMb);
  }
}

/** All of them compile, in order; the last one says which processes there are. */
async function runBuildpacks(
  compilation: Compilation,
  folders: Folders,
): Promise<{ readonly name: string; readonly release: string }> {
  const { go, places, say } = compilation;
  await say(`Compressing source files... done.\nBuilding source:\n\n-----> Building on the ${go.stack} stack\n`);
  const { tree, work } = folders;
  const env = buildEnvironment(places, go);
  const finding = { go, tree, work, say, env, own: join(places.buildkit, "buildpacks") };
  const exports: string[] = [];
  let last: Buildpack | undefined;
  for (const candidate of await findBuildpacks(finding)) {
    last = await accepted(candidate, finding);
    await say(`-----> ${last.name} app detected\n`);
    await runCompile(compilation, folders, last, exports);
    if (existsSync(last.exports)) exports.push(last.exports);
  }
  await say("-----> Build succeeded!\n");
  if (!last) throw new Error("no buildpack");
  return { name: last.name, release: await releaseOf(last.folder, compilation, folders) };
}

function makeFolders({ places, go }: Compilation): Folders {
  const work = join(places.work, "stator-build");
  const folders = { tree: treeFolder(places.work), cache: join(places.cache, go.stack), env: join(work, "env"), work };
  for (const folder of Object.values(folders)) mkdirSync(folder, { recursive: true });
  for (const [name, value] of Object.entries(go.configVars)) {
    if (/^[^/\0]+$/.test(name) && name !== "." && name !== "..")
      writeFileSync(join(folders.env, name), value, { mode: 0o600 });
  }
  return folders;
}

async function prepareTree({ source, go, say }: Compilation, { tree, work }: Folders): Promise<void> {
  const tellIgnored = async (count: number): Promise<void> => {
    if (count > 0) await say(`-----> Left out ${count} ${count === 1 ? "file" : "files"} that .slugignore names\n`);
  };
  if (source.kind === "commit") {
    const { commit, gitEnv } = source;
    const { submodules, ignored } = await checkOut({
      commit,
      gitEnv,
      limits: go.limits,
      tree,
      work: join(work, "git"),
    });
    for (const path of submodules.slice(0, 20))
      await say(` !     Submodule ${path} was not fetched: push its files, or fetch it in your build.\n`);
    return tellIgnored(ignored);
  }
  await unpackArchive({ archive: source.archive, tree, work, limits: go.limits, service: source.kind });
  rmSync(source.archive, { force: true });
  if (source.kind === "slug") return;
  const patterns = readText(tree, ".slugignore", PROCFILE_BYTES_MAX);
  if (patterns !== null) await tellIgnored(await removeIgnored(tree, patterns, work));
}

async function runCompile(
  compilation: Compilation,
  folders: Folders,
  buildpack: Buildpack,
  exports: readonly string[],
): Promise<void> {
  const { places, go, source, say, signal } = compilation;
  // One pipe for both outputs keeps their order. The words of the script are constant, its arguments are arguments.
  const script = [
    "-c",
    'while [ "$1" != -- ]; do . "$1"; shift; done; shift; exec "$@" 2>&1',
    "bash",
    ...exports,
    "--",
  ];
  const program = join(buildpack.folder, "bin", "compile");
  const version = source.kind === "commit" ? source.commit : (source.version ?? "");
  const child = startProgram("/bin/bash", [...script, program, folders.tree, folders.cache, folders.env], {
    env: { ...buildEnvironment(places, go), SOURCE_VERSION: version, STATOR_EXPORT: buildpack.exports },
    cwd: folders.tree,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const stop = () => killGroup(child);
  signal.addEventListener("abort", stop, { once: true });
  const ended = statusOf(child);
  const killsBefore = memoryKills();
  const words = new Words();
  if (child.stdout) {
    for await (const chunk of child.stdout) {
      words.add(chunk as Buffer); // no encoding set
      await say(chunk as Buffer);
    }
  }
  const status = await ended;
  signal.removeEventListener("abort", stop);
  signal.throwIfAborted();
  if (status === 0) return;
  if (words.sayDiskFull) throw Object.assign(new Error("the build filled its disk"), { code: "ENOSPC" });
  const hint = memoryKills() > killsBefore ? ["The build used all of its memory, and a program of it was killed."] : [];
  throw new BuildFailed(...hint, `Push rejected, failed to compile ${buildpack.name} app.`, "Push failed");
}

/** How many programs of this dyno the kernel has killed for its memory so far. */
function memoryKills(): number {
  for (const file of ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"]) {
    if (existsSync(file)) return Number(/^oom_kill (\d+)$/m.exec(readFileSync(file, "utf8"))?.[1] ?? 0);
  }
  return 0;
}

/** Watches what a build prints for words that explain its end. */
class Words {
  readonly #decoder = new StringDecoder("utf8");
  #tail = "";
  sayDiskFull = false;

  add(chunk: Buffer): void {
    const text = this.#tail + this.#decoder.write(chunk);
    this.sayDiskFull ||= saysDiskFull(text);
    this.#tail = text.slice(-40);
  }
}

async function releaseOf(folder: string, compilation: Compilation, { tree }: Folders): Promise<string> {
  const program = join(folder, "bin", "release");
  if (!existsSync(program)) return "";
  const env = buildEnvironment(compilation.places, compilation.go);
  const output = await outputOf(program, [tree], { env, cwd: tree, bytesMax: RELEASE_BYTES_MAX });
  return output.toString("utf8");
}

/** A text file at the app's root; null: there is none. */
function readText(tree: string, name: string, bytesMax: number): string | null {
  const path = join(tree, name);
  const size = fileSize(path);
  if (size === undefined) return null;
  if (size > bytesMax) throw new BuildFailed(`The ${name} is larger than ${bytesMax / 1024} kB.`, "Push failed");
  return readFileSync(path, "utf8");
}

/** What the daemon set for this dyno (registry, proxies, certificates), and nothing of git's. */
function buildEnvironment(places: Places, go: Go): Readonly<Record<string, string>> {
  const own = Object.entries(process.env).filter(
    (pair): pair is [string, string] => pair[1] !== undefined && !/^(?:STATOR_|GIT_|DYNO$|PORT$)/.test(pair[0]),
  );
  return {
    ...Object.fromEntries(own),
    HOME: process.env["HOME"] ?? "/app",
    PATH: process.env["PATH"] ?? "/usr/local/bin:/usr/bin:/bin",
    STACK: go.stack,
    STATOR_NODE: execPath,
    STATOR_NPM: process.env["STATOR_NPM"] ?? join(execPath, "..", "..", "..", "npm", "bin", "npm-cli.js"),
    STATOR_WORK: places.work,
  };
}
