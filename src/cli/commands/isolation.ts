import { newestReleases, type ReleaseJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { action, json, marked, print } from "../output.ts";
import { version } from "./config-set.ts";

interface IsolationJson {
  readonly isolation: string;
  readonly current: string | null;
  readonly choices: readonly { readonly name: string; readonly refusal: string | null }[];
}

/** Shows an app's isolation class, or sets it, which is a release. */
export async function run(input: Input): Promise<number> {
  const [wanted, ...more] = input.positionals;
  if (more.length > 0) throw new UsageError("Usage: stator isolation [container | gvisor] -a APP");
  const client = new Client();
  const app = await appOf(input, client.platform);
  const path = `/apps/${app}/stator/isolation`;
  const before = await client.get<IsolationJson>(path);
  if (wanted === undefined) {
    if (input.has("json")) json(before);
    else for (const line of linesOf(before)) print(line);
    return 0;
  }
  if (wanted === before.isolation) {
    print(`The isolation class of ${marked(app)} is ${wanted} already.`);
    return 0;
  }
  await action(
    `Setting the isolation class of ${marked(app)} to ${wanted}`,
    async () => {
      await client.call("PATCH", path, { body: { isolation: wanted } });
      return (await client.get<readonly ReleaseJson[]>(`/apps/${app}/releases`, newestReleases(1)))[0];
    },
    version,
  );
  return 0;
}

export function linesOf({ isolation, current, choices }: IsolationJson): readonly string[] {
  const running = current === null || current === isolation ? "" : ` (its current release runs as ${current})`;
  const others = choices.flatMap(({ name, refusal }) =>
    refusal === null ? [] : [`${name} cannot be had on this machine: ${refusal}`],
  );
  return [`${isolation}${running}`, ...others];
}
