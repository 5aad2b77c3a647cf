import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { action, marked } from "../output.ts";
import { couplingOf, stageOf } from "../pipelines.ts";

export async function run(input: Input): Promise<number> {
  const stage = stageOf(input);
  if (stage === undefined) throw new UsageError("Missing required flag stage: add -s STAGE.");
  const client = new Client();
  const app = await appOf(input, client.platform);
  await action(`Changing ${marked(app)} to ${stage}`, async () => {
    const { id } = await couplingOf(client, app);
    await client.call("PATCH", `/pipeline-couplings/${id}`, { body: { stage } });
  });
  return 0;
}
