import { appOf } from "../app-name.ts";
import { buildOf } from "../builds.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { action, marked } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const build = await buildOf(client, app, input.positionals[0]);
  if (build === undefined) throw new UsageError(`${app} has no builds.`, 1);
  await action(`Stopping build ${build.id} on ${marked(app)}`, () =>
    client.call("DELETE", `/apps/${app}/builds/${build.id}`),
  );
  return 0;
}
