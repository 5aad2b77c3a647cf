import type { AppJson } from "./api.ts";
import { ApiError, type Client } from "./client.ts";
import { type Input, UsageError } from "./command.ts";
import { ask } from "./prompt.ts";

/** What the commands about pipelines share. Words and exit codes are the official CLI's. */
export interface PipelineJson {
  readonly id: string;
  readonly name: string;
  readonly owner: { readonly id: string; readonly type: string } | null;
}

export interface CouplingJson {
  readonly id: string;
  readonly app: { readonly id: string; readonly name: string };
  readonly pipeline: { readonly id: string; readonly name: string };
  readonly stage: string;
}

export type PipelineApp = AppJson & { readonly pipelineCoupling: CouplingJson };

/** In the order in which code is promoted. */
export const PROMOTION_ORDER = ["development", "staging", "production"];
const STAGES = ["review", ...PROMOTION_ORDER];

const ENDINGS: readonly (readonly [RegExp, string])[] = [
  [/-(dev|development|uat|tst|test|qa)$/, "development"],
  [/-(stg|staging)$/, "staging"],
  [/-(prd|prod|production|admin|demo)$/, "production"],
];

/** Name and stage of a pipeline, guessed from an app's name. */
export function guess(app: string): { readonly name: string; readonly stage: string } {
  const [ending, stage] = ENDINGS.find(([pattern]) => pattern.test(app)) ?? [/$/, "production"];
  return { name: app.replace(ending, ""), stage };
}

/** The named positional arguments, all of them. Throws `UsageError`. */
export function namesOf(command: string, usage: string, input: Input): readonly string[] {
  const count = usage.split(" ").length;
  if (input.positionals.length === count && input.positionals.every((text) => text !== "")) return input.positionals;
  throw new UsageError(`Usage: stator ${command} ${usage}`, 2);
}

export function stageOf(input: Input): string | undefined {
  const stage = input.text("stage");
  if (stage === undefined || STAGES.includes(stage)) return stage;
  throw new UsageError(`${stage} is no stage: there are ${STAGES.join(", ")}.`, 1);
}

/** `--stage`, else what is typed on the terminal. */
export async function stageFor(input: Input, app: string): Promise<string> {
  const given = stageOf(input);
  if (given !== undefined) return given;
  const guessed = guess(app).stage;
  const typed = await ask(`Stage of ${app} (${STAGES.join(", ")}) [${guessed}]: `);
  if (typed === "") return guessed;
  if (STAGES.includes(typed)) return typed;
  throw new UsageError(`${typed} is no stage: there are ${STAGES.join(", ")}.`, 1);
}

export async function pipelineNamed(client: Client, text: string): Promise<PipelineJson> {
  return client.get<PipelineJson>(`/pipelines/${encodeURIComponent(text)}`).catch((error: unknown) => {
    if (error instanceof ApiError && error.status === 404) throw new UsageError("Pipeline not found", 1);
    throw error;
  });
}

export async function couplingOf(client: Client, app: string): Promise<CouplingJson> {
  return client.get<CouplingJson>(`/apps/${app}/pipeline-couplings`).catch((error: unknown) => {
    if (error instanceof ApiError && error.status === 404 && /coupling/.test(error.message))
      throw new UsageError(`This app (${app}) does not seem to be a part of any pipeline`, 1);
    throw error;
  });
}

/** The apps of a pipeline that one may see, in the order of stages, then by name. */
export async function appsOf(client: Client, pipelineId: string): Promise<readonly PipelineApp[]> {
  const couplings = await client.get<readonly CouplingJson[]>(`/pipelines/${pipelineId}/pipeline-couplings`);
  const body = { in: { id: couplings.map(({ app }) => app.id) } };
  const apps = await client.call<readonly AppJson[]>("POST", "/filters/apps", { body });
  const together = apps.flatMap((app) => {
    const pipelineCoupling = couplings.find((each) => each.app.id === app.id);
    return pipelineCoupling === undefined ? [] : [{ ...app, pipelineCoupling }];
  });
  const rank = ({ pipelineCoupling }: PipelineApp) => STAGES.indexOf(pipelineCoupling.stage);
  const order = (a: PipelineApp, b: PipelineApp) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1);
  return together.sort(order);
}

/** The apps of the next stage. Throws `UsageError`. */
export function downstream(
  app: string,
  stage: string,
  apps: readonly PipelineApp[],
  what: string,
): readonly PipelineApp[] {
  const at = PROMOTION_ORDER.indexOf(stage);
  const next = at < 0 ? undefined : PROMOTION_ORDER[at + 1];
  if (next === undefined) throw new UsageError(`Cannot ${what} ${app} from '${stage}' stage`, 1);
  const found = apps.filter(({ pipelineCoupling }) => pipelineCoupling.stage === next);
  if (found.length > 0) return found;
  throw new UsageError(`Cannot ${what} from ${app} as there are no downstream apps in ${next} stage`, 1);
}
