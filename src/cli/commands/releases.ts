import { newestReleases, type ReleaseJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { json, print, timeAgo, titled } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const count = Number(input.text("num") ?? "15");
  if (!Number.isInteger(count) || count < 1 || count > 1000)
    throw new UsageError(`--num ${input.text("num")}: must be a number from 1 to 1000.`);
  const client = new Client();
  const app = await appOf(input, client.platform);
  const releases = await client.get<readonly ReleaseJson[]>(`/apps/${app}/releases`, newestReleases(count));
  if (input.has("json")) json(releases);
  else for (const line of format(releases, app, new Date())) print(line);
  return 0;
}

export function format(releases: readonly ReleaseJson[], app: string, now: Date): readonly string[] {
  if (releases.length === 0) return [`${app} has no releases.`];
  const current = releases.find((release) => release.current);
  const notes: Readonly<Record<string, string>> = {
    pending: "release command executing",
    failed: "release command failed",
    expired: "release expired",
  };
  const rows = releases.map((release) => [
    `v${release.version}`,
    [release.description, notes[release.status]].filter((each) => each !== undefined).join(" "),
    release.user.email,
    timeAgo(new Date(release.created_at), now),
  ]);
  return [
    `=== ${app} Releases${current === undefined ? "" : ` - Current: v${current.version}`}`,
    "",
    ...titled([["v", "description", "user", "created_at"], ...rows]),
  ];
}
