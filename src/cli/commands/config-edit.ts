import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { isAbsolute, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { ended, start } from "../../lib/command.ts";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { linesOf, quoted, varsOf } from "../config-text.ts";
import { action, marked, print, warn } from "../output.ts";
import { programNamed } from "../programs.ts";
import { ask } from "../prompt.ts";

type Vars = Readonly<Record<string, string>>;

/** Config vars in the person's editor; nothing changes unless they say so, and if nobody else changed them meanwhile. */
export async function run(input: Input): Promise<number> {
  const [key, extra] = input.positionals;
  if (extra !== undefined) throw new UsageError(`Unexpected argument: ${extra}`);
  const client = new Client();
  const app = await appOf(input, client.platform);
  const path = `/apps/${app}/config-vars`;
  const before = await action("Fetching config", () => client.get<Vars>(path));
  const after = await edited(before, key);
  if (isDeepStrictEqual(before, after)) {
    warn("no changes to config");
    return 0;
  }
  print("\nConfig Diff:");
  for (const line of differences(before, after)) print(line);
  print();
  if (!/^y(es)?$/i.test(await ask(`Update config on ${marked(app)} with these values? (y/N) `))) return 0;
  await action("Updating config", async () => {
    if (!isDeepStrictEqual(before, await client.get<Vars>(path)))
      throw new UsageError("Config changed on server. Refusing to update.", 1);
    const removed = Object.keys(before).filter((name) => !Object.hasOwn(after, name));
    const body = { ...after, ...Object.fromEntries(removed.map((name): [string, null] => [name, null])) };
    await client.call("PATCH", path, { body });
  });
  return 0;
}

async function edited(before: Vars, key: string | undefined): Promise<Vars> {
  if (key === undefined) return varsOf(await inEditor(linesOf(before), "config.sh"));
  const old = Object.hasOwn(before, key) ? (before[key] ?? "") : "";
  const text = await inEditor(old, "value");
  return { ...before, [key]: !old.endsWith("\n") && text.endsWith("\n") ? text.slice(0, -1) : text };
}

/** What the file holds when the editor has gone; it lies in a folder that is the person's alone. */
async function inEditor(text: string, name: string): Promise<string> {
  const [word = "vi", ...args] = (process.env["VISUAL"] || process.env["EDITOR"] || "vi").split(/\s+/).filter(Boolean);
  const editor = isAbsolute(word) ? word : programNamed(word);
  if (editor === undefined) throw new UsageError(`There is no editor ${word}: set VISUAL or EDITOR.`, 1);
  const folder = mkdtempSync(join(tmpdir(), "stator-config-"));
  try {
    const file = join(folder, name);
    writeFileSync(file, text, { mode: 0o600 });
    const env = Object.fromEntries(Object.entries(process.env).filter((pair): pair is [string, string] => !!pair[1]));
    const { code } = await ended(start(editor, [...args, file], { env, cwd: process.cwd(), stdio: "inherit" }), editor);
    if (code !== 0) throw new UsageError(`Editor exited with code ${code}`, 1);
    return readFileSync(file, "utf8");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** `- KEY=old`, `+ KEY=new`. Pure. */
export function differences(before: Vars, after: Vars): readonly string[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].toSorted();
  return names
    .filter((name) => before[name] !== after[name])
    .flatMap((name) => [
      ...(Object.hasOwn(before, name) ? [`- ${name}=${quoted(before[name] ?? "")}`] : []),
      ...(Object.hasOwn(after, name) ? [`+ ${name}=${quoted(after[name] ?? "")}`] : []),
    ]);
}
