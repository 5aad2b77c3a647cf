import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { action, marked } from "../output.ts";
import { couplingOf } from "../pipelines.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  await action(`Removing ${marked(app)}`, async () => {
    const { id } = await couplingOf(client, app);
    await client.call("DELETE", `/pipeline-couplings/${id}`);
  });
  return 0;
}
