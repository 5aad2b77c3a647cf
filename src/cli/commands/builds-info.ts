import { appOf } from "../app-name.ts";
import { buildOf } from "../builds.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { json, keyed, print } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const build = await buildOf(client, app, input.positionals[0]);
  if (build === undefined) throw new UsageError(`${app} has no builds.`, 1);
  if (input.has("json")) json(build);
  else {
    print(`=== Build ${build.id}\n`);
    const buildpacks = (build.buildpacks ?? []).map(({ url }) => url.replace(/^urn:buildpack:/, ""));
    const facts: readonly (readonly [string, string])[] = [
      ["Status", build.status],
      ["By", build.user.email],
      ["When", build.created_at],
      ["Version", build.source_blob.version ?? ""],
      ["Buildpacks", buildpacks.length === 0 ? "the first that fits" : buildpacks.join(", ")],
    ];
    for (const line of keyed(facts)) print(line);
  }
  return 0;
}
