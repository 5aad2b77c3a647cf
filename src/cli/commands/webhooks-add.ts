import { appOf } from "../app-name.ts";
import { Client, textOf } from "../client.ts";
import type { Input } from "../command.ts";
import { action, json, marked, print } from "../output.ts";
import { bodyOf } from "../webhooks.ts";

export async function run(input: Input): Promise<number> {
  const body = bodyOf("webhooks:add", input, ["include", "level", "url"]);
  const client = new Client();
  const app = await appOf(input, client.platform);
  const response = await action(`Adding webhook to ${marked(app)}`, () =>
    client.open("POST", `/apps/${app}/webhooks`, { body }),
  );
  const webhook = JSON.parse(await textOf(response)) as object; // the platform's own answer
  const secret = response.headers["heroku-webhook-secret"];
  if (input.has("json")) json({ ...webhook, signing_secret: secret ?? null });
  else if (typeof secret === "string") {
    print("=== Webhooks Signing Secret\n");
    print(secret);
  }
  return 0;
}
