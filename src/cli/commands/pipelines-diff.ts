import { newestReleases, type ReleaseJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { json, print } from "../output.ts";
import { appsOf, couplingOf, downstream } from "../pipelines.ts";

/** Which commits differ; what is between them only the repository knows. */
export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const coupling = await couplingOf(client, app);
  const apps = await appsOf(client, coupling.pipeline.id);
  const targets = downstream(app, coupling.stage, apps, "diff");
  const commit = await commitOf(client, coupling.app.id);
  if (commit === undefined) throw new UsageError(`No release was found for ${app}, unable to diff`, 1);
  const others = await Promise.all(
    targets.map(async ({ id, name }) => ({ app: name, commit: await commitOf(client, id) })),
  );
  if (input.has("json")) json({ app, commit, targets: others });
  else for (const other of others) print(wordsOf(app, commit, other.app, other.commit));
  return 0;
}

export function wordsOf(app: string, commit: string, target: string, other: string | undefined): string {
  if (other === undefined)
    return `\n${app} was not compared to ${target} as ${target} does not have any releases with a commit`;
  if (other === commit) return `\n${app} is up to date with ${target}`;
  return `\n=== ${app} compared to ${target}\n${target} runs ${other}, ${app} runs ${commit}. In the app's repository: git log --oneline ${other}..${commit}`;
}

async function commitOf(client: Client, app: string): Promise<string | undefined> {
  const releases = await client.get<readonly ReleaseJson[]>(`/apps/${app}/releases`, newestReleases(50));
  const slug = releases.find(({ current }) => current)?.slug;
  if (!slug) return undefined;
  const { commit } = await client.get<{ readonly commit: string | null }>(`/apps/${app}/slugs/${slug.id}`);
  return commit ?? undefined;
}
