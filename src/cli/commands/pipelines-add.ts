import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { action, marked } from "../output.ts";
import { namesOf, pipelineNamed, stageFor } from "../pipelines.ts";

export async function run(input: Input): Promise<number> {
  const [name = ""] = namesOf("pipelines:add", "PIPELINE", input);
  const client = new Client();
  const app = await appOf(input, client.platform);
  const pipeline = await pipelineNamed(client, name);
  const stage = await stageFor(input, app);
  await action(`Adding ${marked(app)} to ${pipeline.name} pipeline as ${stage}`, () =>
    client.call("POST", "/pipeline-couplings", { body: { app, pipeline: pipeline.id, stage } }),
  );
  return 0;
}
