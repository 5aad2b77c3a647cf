import type { AppJson } from "../api.ts";
import { put } from "../buildpacks.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { gitUrl, setRemote } from "../git-remote.ts";
import { action, json, marked, note, print } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const name = input.positionals[0] ?? input.text("app");
  if (input.positionals.length > 1) throw new UsageError(`Unexpected argument: ${input.positionals[1]}`);
  const stack = input.text("stack");
  const region = input.text("region");
  const body = {
    ...(name !== undefined && { name }),
    ...(stack !== undefined && { stack }),
    ...(region !== undefined && { region }),
  };
  const app = await action(
    `Creating ${name === undefined ? "app" : `${marked(name)}`}`,
    () => client.call<AppJson>("POST", "/apps", { body }),
    (made) =>
      [
        ...(name === undefined ? [marked(made.name)] : []),
        ...(region === undefined ? [] : [`region is ${made.region.name}`]),
        ...(stack === undefined ? [] : [`stack is ${made.stack.name}`]),
      ].join(", "),
  );
  const buildpack = input.text("buildpack");
  if (buildpack !== undefined)
    await action(`Setting buildpack to ${buildpack}`, () => put(client, app.name, [buildpack]));
  if (input.has("json")) json(app);
  else print(`${app.web_url} | ${gitUrl(client.platform, app.name)}`);
  if (input.has("no-remote")) return 0;
  const remote = await setRemote(client.platform, app.name, input.text("remote"));
  if (remote !== undefined) note(`set git remote ${remote} to ${gitUrl(client.platform, app.name)}`);
  return 0;
}
