import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { argv, env as ownEnv } from "node:process";
import { installNode } from "./node.ts";
import { detail, runShown, step, Trouble, warn } from "./output.ts";
import { type Package, readPackage } from "./package.ts";
import { PROFILE } from "./profile.ts";
import { DEFAULT_NODE } from "./versions.ts";

/** Variables that would break the build itself; as in the classic buildpacks, all others reach the app's own scripts. */
const NOT_TAKEN =
  /^(?:PATH|HOME|PWD|SHLVL|GIT_.*|LD_PRELOAD|LD_LIBRARY_PATH|CPATH|CPPATH|LIBRARY_PATH|IFS|BASH_ENV|ENV|STATOR_.*)$/;

type Env = Readonly<Record<string, string>>;

/** The Node.js buildpack's bin/compile, top to bottom. */
async function compile(tree: string, cache: string, envFolder: string): Promise<void> {
  const pkg = readPackage(tree);
  const vars = configVars(envFolder);
  const base: Env = {
    ...inherited(),
    ...vars,
    npm_config_cache: join(cache, "npm"),
    npm_config_update_notifier: "false",
    npm_config_fund: "false",
    npm_config_audit: "false",
  };
  await installBinaries(pkg, tree, cache, base);
  const env: Env = {
    ...base,
    PATH: `${join(tree, ".heroku", "node", "bin")}:${join(tree, "node_modules", ".bin")}:${base["PATH"] ?? "/usr/bin:/bin"}`,
    NODE_ENV: vars["NODE_ENV"] ?? "production",
  };
  await script(pkg, "heroku-prebuild", tree, env);
  await installDependencies(tree, env);
  if (!(await script(pkg, "heroku-postbuild", tree, env))) await script(pkg, "build", tree, env);
  await prune(tree, env);
  await script(pkg, "heroku-cleanup", tree, env);
  mkdirSync(join(tree, ".profile.d"), { recursive: true });
  writeFileSync(join(tree, ".profile.d", "nodejs.sh"), PROFILE);
  const exports = ownEnv["STATOR_EXPORT"];
  if (exports !== undefined) writeFileSync(exports, exportText(tree));
}

/** For the buildpacks that come after: Node and the app's programs. The tree's path is the platform's own, without blanks. */
function exportText(tree: string): string {
  return `export PATH="${join(tree, ".heroku", "node", "bin")}:${join(tree, "node_modules", ".bin")}:$PATH"\n`;
}

async function installBinaries(pkg: Package, tree: string, cache: string, env: Env): Promise<void> {
  step("Installing binaries");
  detail(`engines.node (package.json):  ${pkg.engines.node ?? `unspecified, taking ${DEFAULT_NODE}`}`);
  detail(`engines.npm (package.json):   ${pkg.engines.npm ?? "unspecified, taking one that fits"}`);
  const home = join(tree, ".heroku", "node");
  rmSync(home, { recursive: true, force: true });
  const work = join(ownEnv["STATOR_WORK"] ?? "/tmp", "nodejs");
  mkdirSync(work, { recursive: true });
  const versions = await installNode(pkg.engines, home, {
    npm: ownEnv["STATOR_NPM"] ?? "",
    cache,
    work,
    options: { cwd: work, env },
  });
  detail(`Installed node ${versions.node} and npm ${versions.npm}`);
}

async function installDependencies(tree: string, env: Env): Promise<void> {
  step("Installing dependencies");
  const locked = existsSync(join(tree, "package-lock.json")) || existsSync(join(tree, "npm-shrinkwrap.json"));
  for (const other of ["yarn.lock", "pnpm-lock.yaml"]) {
    if (!locked && existsSync(join(tree, other))) warn(`${other} is not read: npm installs what package.json says.`);
  }
  if (existsSync(join(tree, "node_modules"))) warn("node_modules is in the repository; what npm installs replaces it.");
  detail(locked ? "Installing node modules (npm ci)" : "Installing node modules (npm install): no package-lock.json");
  const command = locked ? ["ci"] : ["install", "--no-package-lock"];
  await orTrouble(runShown("npm", [...command, "--include=dev"], { cwd: tree, env }), `npm ${command[0]} failed.`);
}

/** Runs a script of package.json; false if there is none. */
async function script(pkg: Package, name: string, tree: string, env: Env): Promise<boolean> {
  if (pkg.scripts[name] === undefined) return false;
  step(`Running ${name}`);
  await orTrouble(runShown("npm", ["run", name], { cwd: tree, env }), `npm run ${name} failed.`);
  return true;
}

async function prune(tree: string, env: Env): Promise<void> {
  step("Pruning devDependencies");
  if (env["NODE_ENV"] !== "production") return detail(`Skipped because NODE_ENV is ${env["NODE_ENV"]}, not production`);
  if (env["NPM_CONFIG_PRODUCTION"] === "false") return detail("Skipped because NPM_CONFIG_PRODUCTION is false");
  await orTrouble(
    runShown("npm", ["prune", "--omit=dev", "--ignore-scripts"], { cwd: tree, env }),
    "npm prune failed.",
  );
}

async function orTrouble(status: Promise<number>, what: string): Promise<void> {
  if ((await status) !== 0) throw new Trouble(what);
}

/** ENV_DIR: one file for each config var (spec 9.3). */
function configVars(folder: string): Env {
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => !NOT_TAKEN.test(name)) : [];
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name), "utf8")]));
}

function inherited(): Env {
  return Object.fromEntries(Object.entries(ownEnv).filter((pair): pair is [string, string] => pair[1] !== undefined));
}

try {
  await compile(argv[2] ?? "", argv[3] ?? "", argv[4] ?? "");
} catch (error) {
  if (!(error instanceof Trouble)) throw error;
  for (const line of error.message.split("\n")) warn(line);
  process.exitCode = 1;
}
