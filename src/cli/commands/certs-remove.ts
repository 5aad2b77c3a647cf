import { appOf } from "../app-name.ts";
import { confirmed, endpointOf } from "../certs.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { action, marked } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const { name } = await endpointOf(input, client, app);
  await confirmed(app, input, `This will remove the endpoint ${name} from ${marked(app)}: you cannot take that back.`);
  await action(`Removing SSL certificate ${name} from ${marked(app)}`, () =>
    client.call("DELETE", `/apps/${app}/sni-endpoints/${name}`),
  );
  return 0;
}
