import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { checkout, program } from "./harness.ts";

/** The folder with the unmodified official CLI, of the version that is pinned there; installed at its first use. */
export async function officialCli(): Promise<string> {
  const folder = join(checkout, "test", "official-cli");
  const versionIn = (file: string, read: (json: never) => string): string | undefined =>
    existsSync(file) ? read(JSON.parse(readFileSync(file, "utf8")) as never) : undefined; // npm's own files
  const wanted = versionIn(
    join(folder, "package.json"),
    (json: { readonly dependencies: { readonly heroku: string } }) => json.dependencies.heroku,
  );
  const there = versionIn(
    join(folder, "node_modules", "heroku", "package.json"),
    (json: { readonly version: string }) => json.version,
  );
  if (there !== undefined && there === wanted) return folder;
  const installed = await program("npm", ["ci", "--ignore-scripts", "--no-fund", "--no-audit"], {
    cwd: folder,
    timeoutMs: 300_000,
  });
  assert.equal(installed.code, 0, installed.stderr);
  return folder;
}
