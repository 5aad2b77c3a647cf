import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { action, marked } from "../output.ts";
import { bodyOf, idOf } from "../webhooks.ts";

export async function run(input: Input): Promise<number> {
  const id = idOf("webhooks:update", input);
  const body = bodyOf("webhooks:update", input, []);
  const client = new Client();
  const app = await appOf(input, client.platform);
  await action(`Updating webhook ${id} for ${marked(app)}`, () =>
    client.call("PATCH", `/apps/${app}/webhooks/${id}`, { body }),
  );
  return 0;
}
