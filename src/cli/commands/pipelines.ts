import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json, print } from "../output.ts";
import type { PipelineJson } from "../pipelines.ts";

export async function run(input: Input): Promise<number> {
  const all = await new Client().get<readonly PipelineJson[]>("/pipelines");
  if (input.has("json")) json(all);
  else {
    print("=== My Pipelines\n");
    for (const { name } of all) print(name);
  }
  return 0;
}
