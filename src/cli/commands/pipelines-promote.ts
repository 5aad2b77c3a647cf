import { setTimeout as pause } from "node:timers/promises";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { keyed, print, warn } from "../output.ts";
import { appsOf, type CouplingJson, couplingOf, downstream, type PipelineApp } from "../pipelines.ts";

interface TargetJson {
  readonly app: { readonly id: string };
  readonly status: string;
  readonly error_message: string | null;
}

const POLL_MS = 500;

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  print("Fetching app info...");
  const coupling = await couplingOf(client, app);
  print(`Fetching apps from ${coupling.pipeline.name}...`);
  const apps = await appsOf(client, coupling.pipeline.id);
  const targets = targetsOf(app, coupling, apps, input.text("to"));
  print(
    input.text("to") === undefined
      ? `Starting promotion to ${targets[0]?.pipelineCoupling.stage}...`
      : `Starting promotion to apps: ${targets.map(({ name }) => name).join(",")}...`,
  );
  const body = {
    pipeline: { id: coupling.pipeline.id },
    source: { app: { id: coupling.app.id } },
    targets: targets.map(({ id }) => ({ app: { id } })),
  };
  const { id } = await client.call<{ readonly id: string }>("POST", "/pipeline-promotions", { body });
  print("Waiting for promotion to complete...");
  const ended = await waitFor(client, id);
  const isGood = ended.every(({ status }) => status === "succeeded");
  if (isGood) print("\nPromotion successful");
  else warn("Promotion to some apps failed");
  const words = ended.map(({ app: { id: appId }, status, error_message }): [string, string] => [
    apps.find((each) => each.id === appId)?.name ?? appId,
    [status, error_message].filter((each) => each !== null).join(", "),
  ]);
  for (const line of keyed(words)) print(line);
  return isGood ? 0 : 1;
}

/** `--to a,b`, else the apps of the next stage. Throws `UsageError`. */
export function targetsOf(
  app: string,
  coupling: CouplingJson,
  apps: readonly PipelineApp[],
  to: string | undefined,
): readonly PipelineApp[] {
  if (to === undefined) return downstream(app, coupling.stage, apps, "promote");
  const names = to.split(",").filter((name) => name !== "");
  return names.map((name) => {
    const found = apps.find((each) => each.name === name || each.id === name);
    if (found === undefined) throw new UsageError(`Cannot find app ${name}`, 1);
    if (found.id === coupling.app.id)
      throw new UsageError(`Cannot promote from an app to itself: ${name}. Specify a different target app.`, 1);
    return found;
  });
}

async function waitFor(client: Client, id: string): Promise<readonly TargetJson[]> {
  for (;;) {
    const targets = await client.get<readonly TargetJson[]>(`/pipeline-promotions/${id}/promotion-targets`);
    if (targets.every(({ status }) => status !== "pending")) return targets;
    await pause(POLL_MS);
  }
}
