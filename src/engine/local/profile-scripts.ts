import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { BASE_ENVIRONMENT } from "../../model/boot.ts";

/**
 * Whether a dyno has anything that is sourced before its command (spec 3.1). Where it has not, no bash is started for it: a tenth of
 * a start. The slug's tree is anybody's, so names alone count: what is a link, or empty, is left to bash inside the dyno.
 */
export function hasProfileScripts(
  { stack, slug }: { readonly stack: string; readonly slug: string },
  env: Readonly<Record<string, string>>,
): boolean {
  if ((env["HOME"] ?? BASE_ENVIRONMENT["HOME"]) !== "/app") return true; // whose `.profile` it is, only the dyno sees
  return [".profile", ".profile.d"].some((name) => isThere(join(slug, name))) || !isEmpty(join(stack, "etc/profile.d"));
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function isEmpty(folder: string): boolean {
  return !isThere(folder) || readdirSync(folder).length === 0;
}
