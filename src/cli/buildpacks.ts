import type { Client } from "./client.ts";
import { type Input, UsageError } from "./command.ts";
import { json, print } from "./output.ts";

/** What the commands about an app's buildpacks share. Words and exit codes are the official CLI's. */
export interface InstallationJson {
  readonly ordinal: number;
  readonly buildpack: { readonly url: string; readonly name: string };
}

export const shown = ({ buildpack }: InstallationJson): string => buildpack.url.replace(/^urn:buildpack:/, "");

export function installationsOf(client: Client, app: string): Promise<readonly InstallationJson[]> {
  return client.get<readonly InstallationJson[]>(`/apps/${app}/buildpack-installations`);
}

/** Replaces the whole list. What the platform does not have it says itself. */
export function put(client: Client, app: string, names: readonly string[]): Promise<readonly InstallationJson[]> {
  const body = { updates: names.map((buildpack) => ({ buildpack })) };
  return client.call("PUT", `/apps/${app}/buildpack-installations`, { body });
}

/** The buildpack that the command is about. Throws `UsageError`. */
export function buildpackOf(command: string, input: Input): string {
  const [name, ...more] = input.positionals;
  if (name === undefined || name === "" || more.length > 0)
    throw new UsageError(`Usage: stator ${command} BUILDPACK -a APP\nName one buildpack, or give its https address.`);
  return name;
}

/** `-i`, counted from 1; undefined: not given. Throws `UsageError`. */
export function indexOf(input: Input): number | undefined {
  const text = input.text("index");
  if (text === undefined) return undefined;
  const index = Number(text);
  if (!Number.isInteger(index) || index < 1) throw new UsageError("Invalid index. Must be greater than 0.", 1);
  return index;
}

/** The list with one more, or one in another's place. Throws `UsageError` for one that is there already. */
export function changed(
  before: readonly InstallationJson[],
  name: string,
  index: number | undefined,
  how: "add" | "set",
): readonly string[] {
  const names = before.map(shown);
  if (names.includes(name)) throw new UsageError(`The buildpack ${name} is already set on your app.`, 1);
  const at = index === undefined ? (how === "add" ? names.length : 0) : Math.min(index - 1, names.length);
  return names.toSpliced(at, how === "add" ? 0 : 1, name);
}

/** Tells what the next build will use. */
export function tell(app: string, list: readonly InstallationJson[], what: string, input: Input): void {
  if (input.has("json")) return json(list);
  const [only] = list;
  if (only !== undefined && list.length === 1) {
    print(`Buildpack ${what}. Next release on ${app} will use ${shown(only)}.`);
    print("Run git push heroku main to create a new release using this buildpack.");
    return;
  }
  print(`Buildpack ${what}. Next release on ${app} will use:`);
  for (const each of list) print(`  ${each.ordinal + 1}. ${shown(each)}`);
  print("Run git push heroku main to create a new release using these buildpacks.");
}
