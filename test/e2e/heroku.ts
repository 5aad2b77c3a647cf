import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { checkout, program, type Result, statorOk } from "./harness.ts";

const folder = join(checkout, "test", "official-cli");
const script = join(folder, "node_modules", "heroku", "bin", "run");

/** The unmodified official CLI, told by `stator env` alone where the platform is. */
export interface Heroku extends Disposable {
  run(args: readonly string[]): Promise<Result>;
  /** Both its outputs; fails the test unless it ends with 0. */
  ok(args: readonly string[]): Promise<string>;
}

export async function officialCli(): Promise<Heroku> {
  if (!existsSync(script)) {
    const ci = ["ci", "--ignore-scripts", "--no-fund", "--no-audit"];
    const installed = await program("npm", ci, { cwd: folder, timeoutMs: 300_000 });
    assert.equal(installed.code, 0, installed.stderr);
  }
  const home = mkdtempSync(join(tmpdir(), "stator-official-"));
  const text = (await statorOk(["env"])).replaceAll(/^export /gm, "");
  const exported = Object.fromEntries(Object.entries(parseEnv(text)).map(([name, value]) => [name, value ?? ""]));
  const env = { ...exported, HOME: home, TERM: "dumb", NO_COLOR: "1", COLUMNS: "250" };
  const run = (args: readonly string[]) => program(process.execPath, [script, ...args], { env, cwd: home });
  return {
    run,
    async ok(args) {
      const result = await run(args);
      assert.equal(result.code, 0, `heroku ${args.join(" ")}: ${result.stdout}\n${result.stderr}`);
      return `${result.stdout}${result.stderr}`;
    },
    [Symbol.dispose]: () => rmSync(home, { recursive: true, force: true }),
  };
}
