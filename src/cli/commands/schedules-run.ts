import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { action, marked, print } from "../output.ts";
import { nameOf, pathOf, type RunJson } from "../schedules.ts";

export async function run(input: Input): Promise<number> {
  const name = nameOf(input, "schedules:run");
  const client = new Client();
  const app = await appOf(input, client.platform);
  const dynoOf = (run: RunJson) => run.dyno?.name ?? "";
  const run = await action(
    `Running ${name} on ${marked(app)}`,
    () => client.call<RunJson>("POST", `${pathOf(app, name)}/runs`),
    dynoOf,
  );
  print(`Run stator logs --app ${app} --dyno ${dynoOf(run)} to view the output.`);
  return 0;
}
