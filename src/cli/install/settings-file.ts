import { existsSync, readFileSync } from "node:fs";
import { parseEnvFile, SETTINGS } from "../../config.ts";
import { writeFileAtomic } from "../../lib/atomic-file.ts";

type Env = Readonly<Record<string, string | undefined>>;

/** What `stator.env` holds after `up` was given these settings: those of before and those in the environment. Pure. */
export function remembered(before: string, env: Env): string {
  const given = SETTINGS.filter((name) => name !== "STATOR_HOME" && env[name] !== undefined && env[name] !== "");
  const all = { ...parseEnvFile(before), ...Object.fromEntries(given.map((name) => [name, env[name]])) };
  const lines = Object.entries(all)
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`);
  return ["# Written by `stator up`; the settings are described in docs/settings.md.", ...lines, ""].join("\n");
}

/** Keeps the settings; whether that changed anything. */
export async function rememberSettings(path: string, env: Env): Promise<boolean> {
  const before = existsSync(path) ? readFileSync(path, "utf8") : "";
  const now = remembered(before, env);
  if (now === before) return false;
  await writeFileAtomic(path, now, { mode: 0o644 });
  return before !== "";
}

/** Settings of the person's environment, for a command that they can type again. */
export function givenSettings(env: Env): Readonly<Record<string, string>> {
  const pairs = SETTINGS.map((name): [string, string] => [name, env[name] ?? ""]);
  return Object.fromEntries(pairs.filter(([, value]) => value !== ""));
}
