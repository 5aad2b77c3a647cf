import type { AppJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { Input, UsageError } from "../command.ts";
import { clone } from "../git-remote.ts";

export async function run(input: Input): Promise<number> {
  const [folder, extra] = input.positionals;
  if (extra !== undefined) throw new UsageError(`Unexpected argument: ${extra}`);
  const given = input.text("app");
  if (given === undefined && !process.env["STATOR_APP"]) throw new UsageError("Missing required flag app: add -a APP.");
  // -r names the remote of the clone, and the folder around us is another app's or none.
  const lookup = new Input([], new Map([["app", given ?? process.env["STATOR_APP"] ?? ""]]));
  const client = new Client();
  const { name } = await client.get<AppJson>(`/apps/${await appOf(lookup, client.platform)}`);
  return clone(client.platform, name, folder ?? name, input.text("remote") ?? "heroku");
}
