import { chmod, mkdir, mkdtemp, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { syncFolder, writeFileAtomic } from "../../lib/atomic-file.ts";
import { type Instant, systemClock } from "../../lib/clock.ts";
import { CommandError, ended, run, start } from "../../lib/command.ts";
import type { Instance } from "../../model/instance.ts";
import type { StackName } from "../engine.ts";
import { readAptSettings } from "./stack-apt.ts";
import { DPKG_OPTIONS, EXTRA_BUILD_PACKAGES, RECIPES, recipeHash, SOURCE_DATE_EPOCH } from "./stack-recipe.ts";
import { finishTree } from "./stack-tree.ts";

export interface StackBuildOptions {
  readonly instance: Instance;
  /** A line for people about what happens now. */
  readonly onProgress: (line: string) => void;
  /** Proxy variables of the machine (`http_proxy`, ...), for apt. */
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Those that stand too: for the packages of today. */
  readonly anew?: boolean;
}

export const STACK_NAMES: readonly StackName[] = ["debian-12", "debian-12-build"];

/** Where a stack's files are: the image, the run stack's tar for export, and what says which recipe they follow. */
export function stackFiles(instance: Instance, name: StackName): Readonly<Record<"image" | "tar" | "recipe", string>> {
  const base = join(instance.paths.host, "stacks", name);
  return { image: `${base}.erofs`, tar: `${base}.tar`, recipe: `${base}.json` };
}

/** What stands there, whatever its recipe; undefined: nothing that is whole. */
export interface BuiltStack {
  readonly recipe: string;
  /** Tells one image of a recipe from the next; 0: of a program that wrote none. */
  readonly builtAt: Instant;
}

export async function builtStack(instance: Instance, name: StackName): Promise<BuiltStack | undefined> {
  const files = stackFiles(instance, name);
  const text = await readFile(files.recipe, "utf8").catch(() => undefined); // none yet
  if (text === undefined) return undefined;
  const { recipe, builtAt = 0 } = JSON.parse(text) as { readonly recipe: string; readonly builtAt?: Instant }; // ours, whole or not there
  const parts = name === "debian-12" ? [files.image, files.tar] : [files.image];
  const there = await Promise.all(
    parts.map((path) =>
      stat(path).then(
        () => true,
        () => false,
      ),
    ),
  );
  return there.every(Boolean) ? { recipe, builtAt } : undefined;
}

/** Whether the stack is there and made by today's recipe. */
export async function isBuilt(instance: Instance, name: StackName): Promise<boolean> {
  return (await builtStack(instance, name))?.recipe === recipeHash(RECIPES[name]);
}

/**
 * Builds the stacks that are missing or made by another recipe, both out of one tree: the distribution's packages by
 * mmdebstrap, from the mirrors and through the proxies of the machine's own apt. Needs root. What stood stays until both are
 * made, and an image is there whole or not at all.
 */
export async function buildStacks(options: StackBuildOptions): Promise<void> {
  const { instance, onProgress, anew = false } = options;
  const current = await Promise.all(STACK_NAMES.map((name) => isBuilt(instance, name)));
  if (current.every(Boolean) && !anew) return;
  const folder = join(instance.paths.host, "stacks");
  await mkdir(folder, { recursive: true, mode: 0o755 });
  const work = await mkdtemp(join(folder, "building-"));
  try {
    const [tree, runTree] = [join(work, "tree"), join(work, "run")];
    await bootstrap(tree, options);
    await run("cp", ["-al", "--", tree, runTree]); // links: two trees for the space and the time of one
    await Promise.all([
      makeRunStack(runTree, work, options),
      extend(tree, work, options).then(() => make(tree, "debian-12-build", work, options)),
    ]);
    await place(join(work, "debian-12.tar"), stackFiles(instance, "debian-12").tar);
    for (const name of STACK_NAMES) await install(name, work, instance);
    onProgress("Stacks are ready.");
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function bootstrap(tree: string, options: StackBuildOptions): Promise<void> {
  const { suite, packages } = RECIPES["debian-12"];
  const apt = await readAptSettings(suite);
  const settings = `${tree}.apt.conf`;
  await writeFile(settings, ['APT::Install-Recommends "false";', ...apt.options, ""].join("\n"), { mode: 0o600 });
  options.onProgress("Building stack debian-12: fetching packages.");
  await runShowing(
    "mmdebstrap",
    [
      "--mode=root",
      "--variant=essential",
      "--format=directory",
      "--skip=cleanup/apt", // the lists are needed once more, for the build stack
      "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
      `--aptopt=${settings}`,
      ...DPKG_OPTIONS.map((option) => `--dpkgopt=${option}`),
      `--include=${packages.join(",")}`,
      suite,
      tree,
      ...apt.sources,
    ],
    options,
  );
  await run("chroot", [tree, "localedef", "-i", "en_US", "-f", "UTF-8", "en_US.UTF-8"], { env: BUILD_ENV });
}

/** Adds the build stack's packages to the run stack's tree. */
async function extend(tree: string, work: string, options: StackBuildOptions): Promise<void> {
  options.onProgress("Building stack debian-12-build: compiler and git.");
  const settings = join(work, "extend.conf");
  await writeFile(
    settings,
    [
      `APT::Architecture "${DEBIAN_ARCHITECTURES[process.arch] ?? process.arch}";`,
      `Dir "${tree}";`,
      `Dir::State::status "${tree}/var/lib/dpkg/status";`,
      `DPkg::Chroot-Directory "${tree}";`,
      'APT::Install-Recommends "false";',
      'APT::Sandbox::User "root";',
      "",
    ].join("\n"),
    { mode: 0o600 },
  );
  await writeFile(join(tree, "usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 101\n", { mode: 0o755 }); // packages start nothing
  await runShowing("apt-get", ["--yes", "--quiet", "install", ...EXTRA_BUILD_PACKAGES], {
    ...options,
    env: { ...options.env, APT_CONFIG: settings },
  });
}

async function makeRunStack(tree: string, work: string, options: StackBuildOptions): Promise<void> {
  const tar = join(work, "debian-12.tar");
  await finishTree(tree);
  await run(
    "tar",
    [
      "--create",
      "--format=gnu",
      "--sort=name",
      "--numeric-owner",
      `--mtime=@${SOURCE_DATE_EPOCH}`,
      "--clamp-mtime",
      `--file=${tar}`,
      "--directory",
      tree,
      ".",
    ],
    { timeoutMs: 300_000 },
  );
  await chmod(tar, 0o644);
  await makeImage(tree, "debian-12", work, options);
}

async function make(tree: string, name: StackName, work: string, options: StackBuildOptions): Promise<void> {
  await finishTree(tree);
  await makeImage(tree, name, work, options);
}

/** Without compression: read at the disk's speed, and mounted by every kernel that knows EROFS. */
async function makeImage(tree: string, name: StackName, work: string, options: StackBuildOptions): Promise<void> {
  options.onProgress(`Building stack ${name}: image.`);
  const image = join(work, `${name}.erofs`);
  const uuid = `00000000-0000-4000-8000-${recipeHash(RECIPES[name]).slice(0, 12)}`;
  await run("mkfs.erofs", ["-x-1", `-T${SOURCE_DATE_EPOCH}`, `-U${uuid}`, image, tree], { timeoutMs: 300_000 });
  await chmod(image, 0o644);
}

async function install(name: StackName, work: string, instance: Instance): Promise<void> {
  const files = stackFiles(instance, name);
  await place(join(work, `${name}.erofs`), files.image);
  const built: BuiltStack = { recipe: recipeHash(RECIPES[name]), builtAt: systemClock.now() };
  await writeFileAtomic(files.recipe, `${JSON.stringify(built)}\n`, { mode: 0o644 }); // last: it says that all is there
}

/** Flushed before it gets its name. */
async function place(from: string, to: string): Promise<void> {
  {
    await using file = await open(from, "r");
    await file.sync();
  }
  await rename(from, to);
  await syncFolder(join(to, ".."));
}

/** Runs a long program; its `I:` lines are progress, its last lines the error. */
async function runShowing(program: string, args: readonly string[], options: StackBuildOptions): Promise<void> {
  const child = start(program, args, { env: { ...BUILD_ENV, ...options.env }, stdio: ["ignore", "pipe", "pipe"] });
  const last: string[] = [];
  const abort = () => child.kill("SIGTERM"); // lets it unmount what it mounted
  options.signal?.addEventListener("abort", abort, { once: true });
  try {
    for (const stream of [child.stdout, child.stderr]) {
      if (!stream) continue;
      createInterface({ input: stream }).on("line", (line) => {
        if (last.push(line) > LAST_LINES) last.shift();
        if (line.startsWith("I: ")) options.onProgress(`  ${line.slice(3)}`);
      });
    }
    const { code, signal } = await ended(child, program);
    options.signal?.throwIfAborted();
    if (code !== 0)
      throw new CommandError(program, code === null ? `killed by ${signal}` : `status ${code}`, code, last.join("\n"));
  } finally {
    options.signal?.removeEventListener("abort", abort);
  }
}

const LAST_LINES = 20;
const DEBIAN_ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };
const BUILD_ENV: Readonly<Record<string, string>> = {
  DEBIAN_FRONTEND: "noninteractive",
  DEBCONF_NONINTERACTIVE_SEEN: "true",
  LC_ALL: "C.UTF-8",
  SOURCE_DATE_EPOCH: String(SOURCE_DATE_EPOCH),
};
