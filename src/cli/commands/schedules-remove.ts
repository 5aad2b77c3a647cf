import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { action, marked } from "../output.ts";
import { nameOf, pathOf } from "../schedules.ts";

export async function run(input: Input): Promise<number> {
  const name = nameOf(input, "schedules:remove");
  const client = new Client();
  const app = await appOf(input, client.platform);
  await action(`Removing schedule ${name} from ${marked(app)}`, () => client.call("DELETE", pathOf(app, name)));
  return 0;
}
