import type { FormationJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { action, json, marked, print } from "../output.ts";

export interface Update {
  readonly type: string;
  /** As the API takes it: `2`, `+1`, `-1`. */
  readonly quantity: string;
  readonly size?: string;
}

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const path = `/apps/${app}/formation`;
  if (input.positionals.length === 0) {
    const now = await client.get<readonly FormationJson[]>(path);
    if (input.has("json")) json(now);
    else print(formatFormation(now, app));
    return 0;
  }
  const updates = input.positionals.map((text) => parseUpdate(text));
  await action(
    "Scaling dynos",
    () => client.call<readonly FormationJson[]>("PATCH", path, { body: { updates } }),
    (now) => {
      const named = now.filter((each) => updates.some((update) => update.type === each.type));
      return `now running ${named.map((each) => `${each.type} at ${each.quantity}:${each.size}`).join(", ")}`;
    },
  );
  return 0;
}

/** `web=2`, `web+2`, `web-1`, `web=2:Standard-2X` (spec 10.1). Throws `UsageError`. */
export function parseUpdate(text: string): Update {
  const match = /^([\w-]+)([=+-]\d+)(?::([\w-]+))?$/.exec(text);
  const [, type = "", change = "", size] = match ?? [];
  if (match === null) throw new UsageError(`${text} is not a quantity: type web=2, web+1, web-1 or web=2:Standard-1X.`);
  return { type, quantity: change.startsWith("=") ? change.slice(1) : change, ...(size !== undefined && { size }) };
}

/** `web=3:Standard-2X worker=1:Standard-1X`, sorted, to be used as input again. */
export function formatFormation(formation: readonly FormationJson[], app: string): string {
  if (formation.length === 0)
    throw new UsageError(`No process types on ${marked(app)}.\n ›   Upload a Procfile to add process types.`, 1);
  return formation
    .map((each) => `${each.type}=${each.quantity}:${each.size}`)
    .toSorted()
    .join(" ");
}
