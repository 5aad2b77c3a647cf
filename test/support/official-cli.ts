import assert from "node:assert/strict";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ended, start } from "../../src/lib/command.ts";

const folder = join(import.meta.dirname, "..", "official-cli");
/** The unmodified official CLI's own program, for Node. */
export const OFFICIAL_CLI = join(folder, "node_modules", "heroku", "bin", "run");

/** A run of all tests tells at its end which commands were driven (`test/run.ts`): each says here which, and how it ended. */
export function tellDriven(args: readonly string[], code: number | null): void {
  const file = process.env["STATOR_OFFICIAL_DRIVEN"];
  if (file !== undefined) appendFileSync(file, `${args[0]} ${code}\n`);
}

/** Installs the official CLI and `heroku-client` as their lock file says, where that one is not there. */
export async function needOfficialCli(): Promise<void> {
  if (installedVersions() === lockedVersions()) return;
  const env = Object.fromEntries(
    Object.entries(process.env).filter((pair): pair is [string, string] => pair[1] !== undefined),
  );
  const args = ["ci", "--ignore-scripts", "--no-fund", "--no-audit"];
  const child = start("npm", args, { cwd: folder, env, stdio: ["ignore", "ignore", "inherit"] });
  assert.equal((await ended(child, "npm", { timeoutMs: 300_000 })).code, 0);
}

const lockedVersions = (): string => versionsIn(join(folder, "package-lock.json"));
/** npm writes this list last. */
const installedVersions = (): string => versionsIn(join(folder, "node_modules", ".package-lock.json"));

/** Of the two packages that are asked for. */
function versionsIn(list: string): string {
  if (!existsSync(list)) return "";
  const { packages } = JSON.parse(readFileSync(list, "utf8")) as {
    readonly packages: Readonly<Record<string, { readonly version: string }>>;
  };
  return ["heroku", "heroku-client"].map((name) => packages[`node_modules/${name}`]?.version).join(" ");
}

/** The npm package `heroku-client`, as far as the tests use it. */
export interface HerokuClient {
  get(path: string, options?: object): Promise<unknown>;
  post(path: string, options?: object): Promise<unknown>;
  patch(path: string, options?: object): Promise<unknown>;
  delete(path: string, options?: object): Promise<unknown>;
}

export async function herokuClient(options: { readonly host: string; readonly token: string }): Promise<HerokuClient> {
  const module: unknown = await import(join(folder, "node_modules", "heroku-client", "lib", "index.js"));
  const { default: Heroku } = module as { readonly default: new (options: object) => HerokuClient }; // it is CommonJS
  return new Heroku(options);
}
