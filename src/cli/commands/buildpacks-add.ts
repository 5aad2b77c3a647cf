import { appOf } from "../app-name.ts";
import { buildpackOf, changed, indexOf, installationsOf, put, tell } from "../buildpacks.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";

export async function run(input: Input): Promise<number> {
  const name = buildpackOf("buildpacks:add", input);
  const index = indexOf(input);
  const client = new Client();
  const app = await appOf(input, client.platform);
  const names = changed(await installationsOf(client, app), name, index, "add");
  tell(app, await put(client, app, names), "added", input);
  return 0;
}
