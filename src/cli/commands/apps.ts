import type { AccountJson, AppJson } from "../api.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json, print, titled } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const [apps, account] = await Promise.all([
    client.get<readonly AppJson[]>(input.has("all") ? "/apps" : "/users/~/apps"),
    client.get<AccountJson>("/account"),
  ]);
  const sorted = apps.toSorted((one, other) => (one.name < other.name ? -1 : 1));
  if (input.has("json")) json(sorted);
  else for (const line of format(sorted, account.email)) print(line);
  return 0;
}

/** Own apps by name, then those of others with their owner. */
export function format(apps: readonly AppJson[], email: string): readonly string[] {
  if (apps.length === 0) return ["You have no apps."];
  const named = (app: AppJson) => (app.region.name === "us" ? app.name : `${app.name} (${app.region.name})`);
  const own = apps.filter((app) => app.owner.email === email).map(named);
  const others = apps.filter((app) => app.owner.email !== email).map((app) => [named(app), app.owner.email]);
  return [
    ...(own.length === 0 ? [] : [`=== ${email} Apps`, "", ...own]),
    ...(others.length === 0 ? [] : ["", "Collaborated Apps", "", ...titled([["Name", "Email"], ...others])]),
  ];
}
