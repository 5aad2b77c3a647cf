import { appOf } from "../app-name.ts";
import { ApiError, Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { marked, pour, warn } from "../output.ts";
import { releaseNamed } from "../releases.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const release = await releaseNamed(client, app, input.positionals[0]);
  if (release === undefined) throw new UsageError(`No release found for ${marked(app)}.`, 1);
  if (!release.output_stream_url) {
    warn(`Release v${release.version} has no release output available.`);
    return 0;
  }
  try {
    await pour(await client.open("GET", release.output_stream_url));
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 404) throw error;
    warn("Release command not started yet. Please try again in a few seconds.");
  }
  return 0;
}
