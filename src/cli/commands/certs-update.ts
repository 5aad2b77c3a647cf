import { appOf } from "../app-name.ts";
import { confirmed, details, type EndpointJson, endpointOf, printAll } from "../certs.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { action, marked } from "../output.ts";
import { pairOf } from "./certs-add.ts";

export async function run(input: Input): Promise<number> {
  const body = await pairOf(input, "certs:update");
  const client = new Client();
  const app = await appOf(input, client.platform);
  const { name } = await endpointOf(input, client, app);
  await confirmed(app, input, `This will change the certificate of endpoint ${name} from ${marked(app)}.`);
  const endpoint = await action(`Updating SSL certificate ${name} for ${marked(app)}`, () =>
    client.call<EndpointJson>("PATCH", `/apps/${app}/sni-endpoints/${name}`, { body }),
  );
  printAll(details(endpoint, new Date(), "Updated certificate details:"));
  return 0;
}
