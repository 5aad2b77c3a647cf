import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Trouble } from "./output.ts";

/** What matters of an app's package.json. */
export interface Package {
  readonly engines: { readonly node: string | null; readonly npm: string | null };
  readonly scripts: Readonly<Record<string, string>>;
}

/** Reads the app's package.json. Throws `Trouble` with a sentence when it cannot be used. */
export function readPackage(tree: string): Package {
  const text = readFileSync(join(tree, "package.json"), "utf8");
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch (error) {
    throw new Trouble(`package.json is not valid JSON: ${error instanceof Error ? error.message : ""}`);
  }
  if (!isObject(value)) throw new Trouble("package.json holds no object.");
  const engines = isObject(value["engines"]) ? value["engines"] : {};
  const scripts = isObject(value["scripts"]) ? value["scripts"] : {};
  return {
    engines: { node: textOf(engines["node"]), npm: textOf(engines["npm"]) },
    scripts: Object.fromEntries(
      Object.entries(scripts).filter((pair): pair is [string, string] => typeof pair[1] === "string"),
    ),
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function textOf(value: unknown): string | null {
  return typeof value === "string" && value.trim() !== "" ? value.trim() : null;
}
