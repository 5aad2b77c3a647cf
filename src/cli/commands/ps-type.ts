import type { FormationJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { action, json, marked, print, titled } from "../output.ts";

interface SizeJson {
  readonly name: string;
  readonly limits: { readonly memory_mb: number; readonly memory_ceiling_mb: number };
}

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const path = `/apps/${app}/formation`;
  const before = await client.get<readonly FormationJson[]>(path);
  const updates = sizesAsked(input.positionals, before);
  if (updates.length > 0)
    await action(`Scaling dynos on ${marked(app)}`, () => client.call("PATCH", path, { body: { updates } }));
  const after = updates.length === 0 ? before : await client.get<readonly FormationJson[]>(path);
  if (input.has("json")) {
    json(after);
    return 0;
  }
  const sizes = await client.get<readonly SizeJson[]>("/dyno-sizes");
  print("=== Process Types\n");
  for (const line of titled(rowsOf(after, sizes))) print(line);
  return 0;
}

/** `web=standard-2x worker=eco`, or one size for all types. Throws `UsageError`. */
export function sizesAsked(
  words: readonly string[],
  formation: readonly Pick<FormationJson, "type">[],
): readonly { readonly type: string; readonly size: string }[] {
  const [only] = words;
  if (only !== undefined && words.length === 1 && /^[\w-]+$/.test(only))
    return formation.map(({ type }) => ({ type, size: only }));
  return words.map((text) => {
    const match = /^([\w-]+)=([\w-]+)$/.exec(text);
    if (match === null) throw new UsageError(`${text} is not a size: type web=Standard-2X, or a size for all types.`);
    return { type: match[1] ?? "", size: match[2] ?? "" };
  });
}

function rowsOf(formation: readonly FormationJson[], sizes: readonly SizeJson[]): readonly (readonly string[])[] {
  const memory = (name: string) => {
    const limits = sizes.find((size) => size.name === name)?.limits;
    return limits === undefined ? "not offered any more" : `${limits.memory_mb} / ${limits.memory_ceiling_mb} MiB`;
  };
  return [
    ["type", "size", "qty", "memory quota / ceiling"],
    ...formation
      .toSorted((one, other) => (one.type < other.type ? -1 : 1))
      .map(({ type, size, quantity }) => [type, size, String(quantity), memory(size)]),
  ];
}
