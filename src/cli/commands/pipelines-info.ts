import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json, print, titled } from "../output.ts";
import { appsOf, namesOf, type PipelineApp, type PipelineJson, pipelineNamed } from "../pipelines.ts";

export async function run(input: Input): Promise<number> {
  const [name = ""] = namesOf("pipelines:info", "PIPELINE", input);
  const client = new Client();
  const pipeline = await pipelineNamed(client, name);
  const apps = await appsOf(client, pipeline.id);
  if (input.has("json")) json({ pipeline, apps });
  else for (const line of format(pipeline, apps)) print(line);
  return 0;
}

export function format(pipeline: PipelineJson, apps: readonly PipelineApp[]): readonly string[] {
  const owner = apps.find((app) => app.owner.id === pipeline.owner?.id)?.owner.email ?? pipeline.owner?.id;
  const rows = apps.map((app) => [app.name, app.pipelineCoupling.stage]);
  return [
    `=== ${pipeline.name}`,
    "",
    ...(owner === undefined ? [] : [`owner: ${owner}`, ""]),
    ...titled([["app name", "stage"], ...rows]),
  ];
}
