import type { ReleaseJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { shellValue } from "../config-text.ts";
import { json, keyed, marked, print, printValue } from "../output.ts";
import { releaseNamed } from "../releases.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const release = await releaseNamed(client, app, input.positionals[0]);
  if (release === undefined) throw new UsageError(`No release found for ${marked(app)}.`, 1);
  if (input.has("json")) {
    json(release);
    return 0;
  }
  const vars = await client.get<Readonly<Record<string, string>>>(
    `/apps/${app}/releases/${release.version}/config-vars`,
  );
  for (const line of format(release)) print(line);
  print(`\n=== v${release.version} Config vars\n`);
  const pairs = Object.entries(vars);
  if (input.has("shell")) for (const [name, value] of pairs) printValue(`${name}=${shellValue(value)}`);
  else for (const line of pairs.length === 0 ? [""] : keyed(pairs)) print(line);
  return 0;
}

const NOTES: Readonly<Record<string, string>> = {
  pending: "release command executing",
  failed: "release command failed",
  expired: "release expired",
};

export function format(release: ReleaseJson): readonly string[] {
  const note = NOTES[release.status];
  return [
    `=== Release v${release.version}`,
    "",
    ...keyed([
      ["By", release.user.email],
      ["Change", `${release.description}${note === undefined ? "" : ` (${note})`}`],
      ["Eligible for Rollback?", release.eligible_for_rollback === true ? "Yes" : "No"],
      ["When", release.created_at],
    ]),
  ];
}
