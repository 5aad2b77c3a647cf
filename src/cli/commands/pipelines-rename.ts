import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { action } from "../output.ts";
import { namesOf, pipelineNamed } from "../pipelines.ts";

export async function run(input: Input): Promise<number> {
  const [before = "", name = ""] = namesOf("pipelines:rename", "PIPELINE NAME", input);
  const client = new Client();
  const pipeline = await pipelineNamed(client, before);
  await action(`Renaming ${pipeline.name} pipeline to ${name}`, () =>
    client.call("PATCH", `/pipelines/${pipeline.id}`, { body: { name } }),
  );
  return 0;
}
