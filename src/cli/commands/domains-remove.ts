import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { action, marked } from "../output.ts";
import { hostnameOf } from "./domains-add.ts";

export async function run(input: Input): Promise<number> {
  const hostname = hostnameOf(input, "domains:remove");
  const client = new Client();
  const app = await appOf(input, client.platform);
  await action(`Removing ${hostname} from ${marked(app)}`, () =>
    client.call("DELETE", `/apps/${app}/domains/${encodeURIComponent(hostname)}`),
  );
  return 0;
}
