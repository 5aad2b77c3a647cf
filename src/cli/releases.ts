import { newestReleases, type ReleaseJson } from "./api.ts";
import type { Client } from "./client.ts";
import { versionOf } from "./commands/releases-rollback.ts";

/** The named release, else the newest. */
export async function releaseNamed(
  client: Client,
  app: string,
  named: string | undefined,
): Promise<ReleaseJson | undefined> {
  if (named !== undefined) return client.get<ReleaseJson>(`/apps/${app}/releases/${versionOf(named)}`);
  return (await client.get<readonly ReleaseJson[]>(`/apps/${app}/releases`, newestReleases(1)))[0];
}
