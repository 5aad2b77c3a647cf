import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { placeOf, textOf } from "../egress.ts";
import { action, marked } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const place = placeOf("egress:allow", input);
  const client = new Client();
  const app = await appOf(input, client.platform);
  const body = { action: "allow", ...place };
  await action(`Allowing ${textOf(place)} for the dynos of ${marked(app)}`, () =>
    client.call("POST", `/apps/${app}/egress-rules`, { body }),
  );
  return 0;
}
