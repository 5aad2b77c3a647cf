import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { placeOf, rulesOf, textOf } from "../egress.ts";
import { action, marked } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const place = placeOf("egress:remove", input);
  const client = new Client();
  const app = await appOf(input, client.platform);
  const found = (await rulesOf(client, app)).filter((rule) => textOf(rule) === textOf(place));
  if (found.length === 0) throw new UsageError(`${marked(app)} has no egress rule for ${textOf(place)}.`, 1);
  await action(`Removing what was said of ${textOf(place)} for ${marked(app)}`, async () => {
    for (const { id } of found) await client.call("DELETE", `/apps/${app}/egress-rules/${id}`);
  });
  return 0;
}
