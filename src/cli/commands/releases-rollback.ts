import { newestReleases, type ReleaseJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { action, marked, warn } from "../output.ts";
import { followCommand, versionOf } from "../releases.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const target = await releaseToGoBackTo(client, app, input.positionals[0]);
  const made = await action(
    `Rolling back ${marked(app)} to v${target.version}`,
    () => client.call<ReleaseJson>("POST", `/apps/${app}/releases`, { body: { release: target.id } }),
    (release) => `v${release.version}`,
  );
  warn("Rollback affects code and config vars; it doesn't add or remove addons.");
  warn(`To undo, run: stator rollback v${made.version - 1} -a ${app}`);
  await followCommand(client, app, made);
  return 0;
}

/** The one that was named, else the second newest that can be gone back to (spec 9.6). */
async function releaseToGoBackTo(client: Client, app: string, named: string | undefined): Promise<ReleaseJson> {
  if (named !== undefined) return client.get<ReleaseJson>(`/apps/${app}/releases/${versionOf(named)}`);
  const newest = await client.get<readonly ReleaseJson[]>(`/apps/${app}/releases`, newestReleases(50));
  const eligible = newest.filter(
    (release) => release.eligible_for_rollback ?? (release.slug !== null && release.status === "succeeded"),
  );
  if (eligible[1] === undefined) throw new UsageError(`No eligible release of ${marked(app)} to go back to.`, 1);
  return eligible[1];
}
