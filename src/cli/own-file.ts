import { readFileSync } from "node:fs";

/** What a JSON file of this person's holds; undefined: there is none. Throws for one that is no JSON, with `remedy` in words. */
export function readOwnFile(path: string, remedy: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${path} is not valid JSON; ${remedy}`, { cause: error });
  }
}
