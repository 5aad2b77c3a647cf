import { newestReleases, type ReleaseJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { action, keyed, marked, print } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const body = parseVars(input.positionals);
  const client = new Client();
  const app = await appOf(input, client.platform);
  const keys = Object.keys(body);
  await action(
    `Setting ${keys.join(", ")} and restarting ${marked(app)}`,
    async () => changed(client, app, body),
    version,
  );
  for (const line of keyed(Object.entries(body))) print(line);
  return 0;
}

/** `KEY=VALUE` words; the value may hold more `=`. Throws `UsageError`. */
export function parseVars(words: readonly string[]): Readonly<Record<string, string>> {
  if (words.length === 0)
    throw new UsageError(
      "Usage: stator config:set KEY1=VALUE1 [KEY2=VALUE2 ...]\nMust specify KEY and VALUE to set.",
      1,
    );
  return Object.fromEntries(
    words.map((word) => {
      const equals = word.indexOf("=");
      if (equals < 1) throw new UsageError(`${word} is invalid. Must be in the format FOO=bar.`, 1);
      return [word.slice(0, equals), word.slice(equals + 1)];
    }),
  );
}

/** Changes config vars; the release that came of it. */
export async function changed(
  client: Client,
  app: string,
  body: Readonly<Record<string, string | null>>,
): Promise<ReleaseJson | undefined> {
  await client.call("PATCH", `/apps/${app}/config-vars`, { body });
  return (await client.get<readonly ReleaseJson[]>(`/apps/${app}/releases`, newestReleases(1)))[0];
}

export function version(release: ReleaseJson | undefined): string {
  return release === undefined ? "" : `v${release.version}`;
}
