import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { action, note, print } from "../output.ts";
import { bodyOf } from "../webhooks.ts";

export async function run(input: Input): Promise<number> {
  const body = bodyOf("webhooks:add", input, ["include", "level", "url"]);
  const client = new Client();
  const app = await appOf(input, client.platform);
  const response = await action(`Adding webhook to ⬢ ${app}`, () =>
    client.open("POST", `/apps/${app}/webhooks`, { body }),
  );
  response.resume();
  const secret = response.headers["heroku-webhook-secret"];
  if (typeof secret === "string") {
    note("=== Webhooks Signing Secret");
    print(secret);
  }
  return 0;
}
