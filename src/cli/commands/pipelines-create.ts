import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { action, marked } from "../output.ts";
import { guess, type PipelineJson, stageFor } from "../pipelines.ts";
import { ask } from "../prompt.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const guessed = guess(app).name;
  const name = input.positionals[0] ?? ((await ask(`Pipeline name [${guessed}]: `)) || guessed);
  const stage = await stageFor(input, app);
  const { id } = await client.get<{ readonly id: string }>("/users/~");
  const body = { name, owner: { id, type: "user" } };
  const pipeline = await action(`Creating ${name} pipeline`, () =>
    client.call<PipelineJson>("POST", "/pipelines", { body }),
  );
  await action(`Adding ${marked(app)} to ${name} pipeline as ${stage}`, () =>
    client.call("POST", "/pipeline-couplings", { body: { app, pipeline: pipeline.id, stage } }),
  );
  return 0;
}
