import { appOf } from "../app-name.ts";
import { indexOf, installationsOf, put, shown, tell } from "../buildpacks.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { clear } from "./buildpacks-clear.ts";

export async function run(input: Input): Promise<number> {
  const [name] = input.positionals;
  const index = indexOf(input);
  if (index !== undefined && name !== undefined)
    throw new UsageError("Please choose either index or Buildpack, but not both.", 1);
  if (index === undefined && name === undefined)
    throw new UsageError(
      "Usage: stator buildpacks:remove [BUILDPACK]. Must specify a buildpack to remove, either by index or URL.",
      2,
    );
  const client = new Client();
  const app = await appOf(input, client.platform);
  const names = (await installationsOf(client, app)).map(shown);
  const at = placeOf(app, names, index, name);
  if (names.length === 1) await clear(client, app, "Buildpack removed.", input);
  else tell(app, await put(client, app, names.toSpliced(at, 1)), "removed", input);
  return 0;
}

/** Which of the list goes. Throws `UsageError`. */
export function placeOf(
  app: string,
  names: readonly string[],
  index: number | undefined,
  name: string | undefined,
): number {
  if (names.length === 0)
    throw new UsageError(`No buildpacks were found. Next release on ${app} will detect buildpack normally.`, 1);
  if (index !== undefined && index > names.length) {
    const range = names.length === 1 ? "Only valid value is 1." : `Please choose a value between 1 and ${names.length}`;
    throw new UsageError(`Invalid index. ${range}`, 1);
  }
  const at = index === undefined ? names.indexOf(name ?? "") : index - 1;
  if (at < 0) throw new UsageError("Buildpack not found. Nothing was removed.", 1);
  return at;
}
