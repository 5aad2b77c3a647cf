import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** Long-term support; used when package.json names no version. */
export const DEFAULT_NODE = "24.x";

interface Semver {
  validRange(range: string): string | null;
  maxSatisfying(versions: readonly string[], range: string): string | null;
  satisfies(version: string, range: string): boolean;
}

/** npm's own reading of version ranges, out of the npm that is given. */
export function semverOf(npm: string): Semver {
  return createRequire(join(dirname(npm), "..", "package.json"))("semver") as Semver; // part of every npm
}

/** Newest of the versions in the range; undefined if the text is no range or nothing satisfies it. */
export function newest(versions: readonly string[], range: string, semver: Semver): string | undefined {
  if (range.length > 200 || semver.validRange(range) === null) return undefined;
  return semver.maxSatisfying(versions, range) ?? undefined;
}
