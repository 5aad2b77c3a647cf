import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { action } from "../output.ts";
import { namesOf, pipelineNamed } from "../pipelines.ts";

export async function run(input: Input): Promise<number> {
  const [name = ""] = namesOf("pipelines:destroy", "PIPELINE", input);
  const client = new Client();
  const pipeline = await pipelineNamed(client, name);
  await action(`Destroying ${pipeline.name} pipeline`, () => client.call("DELETE", `/pipelines/${pipeline.id}`));
  return 0;
}
