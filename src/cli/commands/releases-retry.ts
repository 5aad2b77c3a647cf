import type { FormationJson, ReleaseJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { action, marked } from "../output.ts";
import { followCommand, releaseNamed } from "../releases.ts";

/** A new release of the newest one's code: its release command runs again, with the config vars of now. */
export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const release = await releaseNamed(client, app, undefined);
  if (release === undefined) throw new UsageError(`No release found for ${marked(app)}.`, 1);
  const formation = await client.get<readonly FormationJson[]>(`/apps/${app}/formation`);
  if (release.slug === null || !formation.some(({ type }) => type === "release"))
    throw new UsageError("App must have a release-phase command to use this command.", 1);
  const body = { slug: release.slug.id, description: `Retry of v${release.version}: ${release.description}` };
  const made = await action(
    `Retrying v${release.version} on ${marked(app)}`,
    () => client.call<ReleaseJson>("POST", `/apps/${app}/releases`, { body }),
    ({ version }) => `v${version}`,
  );
  await followCommand(client, app, made);
  return 0;
}
