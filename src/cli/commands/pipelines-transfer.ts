import type { AccountJson } from "../api.ts";
import { ApiError, Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { action, marked, print, warn } from "../output.ts";
import { appsOf, namesOf, type PipelineApp, type PipelineJson, pipelineNamed } from "../pipelines.ts";
import { ask } from "../prompt.ts";
import { format } from "./pipelines-info.ts";

export async function run(input: Input): Promise<number> {
  const [owner = ""] = namesOf("pipelines:transfer", "OWNER", input);
  const wanted = input.text("pipeline");
  if (wanted === undefined) throw new UsageError("Missing required flag pipeline", 2);
  const client = new Client();
  const pipeline = await pipelineNamed(client, wanted);
  const { id } = await accountNamed(client, owner);
  const apps = await appsOf(client, pipeline.id);
  const confirmed = input.text("confirm") ?? (await asked(pipeline, apps, owner));
  if (confirmed !== pipeline.name) {
    warn(`Confirmation did not match ${pipeline.name}. Aborted.`);
    return 0; // as theirs
  }
  const body = { new_owner: { id, type: "user" }, pipeline: { id: pipeline.id } };
  await action(`Transferring ${pipeline.name} pipeline to the ${owner} account`, () =>
    client.call("POST", "/pipeline-transfers", { body }),
  );
  const own = apps.filter((app) => app.owner.id === pipeline.owner?.id).map(({ name }) => marked(name));
  if (own.length > 0)
    warn(`${own.join(", ")}: offered to ${owner}, and theirs once they type stator apps:transfers:accept APP`);
  return 0;
}

async function asked(pipeline: PipelineJson, apps: readonly PipelineApp[], owner: string): Promise<string> {
  for (const line of format(pipeline, apps)) print(line);
  warn(`This will transfer ${pipeline.name} and all of the listed apps to the ${owner} account`);
  return ask(`to proceed, type ${pipeline.name} or re-run this command with --confirm ${pipeline.name}: `);
}

async function accountNamed(client: Client, owner: string): Promise<AccountJson> {
  return client.get<AccountJson>(`/users/${encodeURIComponent(owner)}`).catch((error: unknown) => {
    if (error instanceof ApiError && error.status === 404)
      throw new UsageError(`Cannot find an account for "${owner}", and there are no teams here`, 1);
    throw error;
  });
}
