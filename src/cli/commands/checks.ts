import type { FormationJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { type ChecksJson, formatChecks } from "../checks.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { json, marked, print } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const formation = await client.get<readonly FormationJson[]>(`/apps/${app}/formation`);
  const types = input.positionals.length > 0 ? input.positionals : formation.map(({ type }) => type);
  if (types.length === 0) throw new UsageError(`No process types on ${marked(app)}.`, 1);
  const all = await Promise.all(
    types.map((type) => client.get<ChecksJson>(`/apps/${app}/formation/${encodeURIComponent(type)}/health-checks`)),
  );
  if (input.has("json")) json(all);
  else for (const line of all.flatMap(formatChecks)) print(line);
  return 0;
}
