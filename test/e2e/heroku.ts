import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { checkout, program, type Result, statorOk } from "./harness.ts";

const folder = join(checkout, "test", "official-cli");

/** The unmodified official CLI, driven by what `stator env` prints and nothing else. */
export interface Official extends Disposable {
  /** A folder for the test's files, which goes with it. */
  readonly home: string;
  /** Runs it to its end, whatever its status. */
  run(args: readonly string[], input?: string): Promise<Result>;
  /** The same, failing the test unless it ends with 0; gives all that it said. */
  ok(args: readonly string[]): Promise<string>;
}

/** Installs it, unless an earlier file of the run has. */
export async function openOfficial(): Promise<Official> {
  if (!isInstalled()) {
    const options = { cwd: folder, timeoutMs: 300_000 };
    const { code, stderr } = await program("npm", ["ci", "--ignore-scripts", "--no-fund", "--no-audit"], options);
    assert.equal(code, 0, stderr);
  }
  const text = (await statorOk(["env"])).replaceAll(/^export /gm, "");
  const exported = Object.fromEntries(Object.entries(parseEnv(text)).map(([name, value]) => [name, value ?? ""]));
  const home = mkdtempSync(join(tmpdir(), "stator-official-"));
  const run = (args: readonly string[], input?: string): Promise<Result> =>
    program(process.execPath, [join(folder, "node_modules", "heroku", "bin", "run"), ...args], {
      env: { ...exported, HOME: home, TERM: "dumb", NO_COLOR: "1" },
      cwd: home,
      ...(input === undefined ? {} : { input }),
    });
  return {
    home,
    run,
    async ok(args) {
      const { code, stdout, stderr } = await run(args);
      assert.equal(code, 0, `heroku ${args.join(" ")}: ${stdout}\n${stderr}`);
      return `${stdout}${stderr}`;
    },
    [Symbol.dispose]: () => rmSync(home, { recursive: true, force: true }),
  };
}

function isInstalled(): boolean {
  const installed = join(folder, "node_modules", "heroku", "package.json");
  if (!existsSync(installed)) return false;
  const wanted = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as {
    readonly dependencies: Readonly<Record<string, string>>;
  }; // our own file
  const { version } = JSON.parse(readFileSync(installed, "utf8")) as { readonly version: string };
  return version === wanted.dependencies["heroku"];
}
