import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { action, marked } from "../output.ts";
import { idOf } from "../webhooks.ts";

export async function run(input: Input): Promise<number> {
  const id = idOf("webhooks:remove", input);
  const client = new Client();
  const app = await appOf(input, client.platform);
  await action(`Removing webhook ${id} from ${marked(app)}`, () =>
    client.call("DELETE", `/apps/${app}/webhooks/${id}`),
  );
  return 0;
}
