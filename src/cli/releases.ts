import { setTimeout as pause } from "node:timers/promises";
import { newestReleases, type ReleaseJson } from "./api.ts";
import { ApiError, type Client } from "./client.ts";
import { UsageError } from "./command.ts";
import { isJsonOutput, pour, print, warn } from "./output.ts";

/** The named release, else the newest. */
export async function releaseNamed(
  client: Client,
  app: string,
  named: string | undefined,
): Promise<ReleaseJson | undefined> {
  if (named !== undefined) return client.get<ReleaseJson>(`/apps/${app}/releases/${versionOf(named)}`);
  return (await client.get<readonly ReleaseJson[]>(`/apps/${app}/releases`, newestReleases(1)))[0];
}

/** Shows what the release's command says, to its end, and what became of it; nothing for a release without one. */
export async function followCommand(client: Client, app: string, release: ReleaseJson): Promise<void> {
  if (!release.output_stream_url || isJsonOutput()) return;
  print("Running release command...");
  try {
    await pour(await client.open("GET", release.output_stream_url));
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 404) throw error;
    warn(`Release command starting. Use stator releases:output -a ${app} to view the log.`);
    return;
  }
  const path = `/apps/${app}/releases/${release.version}`;
  let { status, failure } = await client.get<ReleaseJson>(path);
  if (status === "pending") {
    await pause(500); // the command's end is about to be noted; longer than this its dynos are coming up
    ({ status, failure } = await client.get<ReleaseJson>(path));
  }
  if (failure) warn(`Release v${release.version} failed: ${failure}.`);
}

/** `v12` or `12`. */
export function versionOf(text: string): number {
  const match = /^v?(\d{1,9})$/.exec(text);
  if (match === null) throw new UsageError(`${text} is no release: type v12.`);
  return Number(match[1]);
}
