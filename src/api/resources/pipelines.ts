import type { FastifyRequest } from "fastify";
import Type from "typebox";
import type { App, User } from "../../model/app.ts";
import { PlatformError } from "../../model/errors.ts";
import type { Permission } from "../../model/permission.ts";
import { type Coupling, type Pipeline, STAGES } from "../../model/pipeline.ts";
import { appFor, demand } from "../auth.ts";
import type { ApiContext } from "../context.ts";
import type { AccountCall, Call, Routes } from "../route.ts";
import { DateTime, dateTime, exactly, Named, nullable, Uuid } from "../schema.ts";
import { self } from "./accounts.ts";
import { GENERATION } from "./platform.ts";

const StageSchema = Type.Enum([...STAGES]);
const PipelineSchema = exactly({
  created_at: DateTime,
  generation: Type.Union([Named, Type.String()]),
  id: Uuid,
  name: Type.String(),
  owner: nullable(exactly({ id: Uuid, type: Type.String() })),
  updated_at: DateTime,
});
const CouplingSchema = exactly({
  app: Named,
  created_at: DateTime,
  id: Uuid,
  pipeline: Named,
  stage: StageSchema,
  updated_at: DateTime,
});

const Owner = Type.Object({ id: Type.Optional(Type.String()), type: Type.Optional(Type.String()) });
const CreateBody = Type.Object({
  name: Type.String({ maxLength: 200 }),
  owner: Type.Optional(nullable(Owner)),
  /** There is one; clients name it. */
  generation: Type.Optional(nullable(Type.Union([Type.String(), Type.Object({ name: Type.String() })]))),
});
/** An id, a name, or an object with one. */
const Reference = Type.Union([
  Type.String({ maxLength: 200 }),
  Type.Object({ id: Type.Optional(Type.String()), name: Type.Optional(Type.String()) }),
]);
const CoupleBody = Type.Object({ app: Reference, pipeline: Reference, stage: StageSchema });

const byName = ["name", "id"] as const;
const byId = ["id"] as const;

/** Pipelines and the apps in them. A pipeline is its owner's to change; whoever has a part in an app of it sees it, and that app in it. */
export function pipelineRoutes(routes: Routes, context: ApiContext): void {
  const { store } = context;
  const own = async (user: User): Promise<readonly Coupling[]> => {
    const pipelines = await store.pipelines.list(user.id);
    return (await Promise.all(pipelines.map(({ id }) => store.pipelines.couplings(id)))).flat();
  };
  const couplings = async (all: readonly Coupling[]) => Promise.all(all.map((each) => couplingJson(each, context)));

  routes.account(
    { path: "GET /pipelines", response: Type.Array(PipelineSchema), orderBy: byName },
    async ({ user, query, ...call }) => {
      const wanted = query["eq[name]"];
      const all = await store.pipelines.list(user.id);
      return all.filter(({ name }) => wanted === undefined || name === wanted).map((each) => pipelineJson(each, call));
    },
  );
  routes.account(
    { path: "POST /pipelines", body: CreateBody, response: PipelineSchema, status: 201 },
    async ({ user, body, ...call }) => {
      const { name, owner } = body;
      const isOwn = !owner || ((owner.type ?? "user") === "user" && (owner.id === undefined || owner.id === user.id));
      if (!isOwn) throw new PlatformError("invalid_params", "There are no teams here: a pipeline is its maker's.");
      return pipelineJson(await store.pipelines.create({ name, ownerId: user.id }), call);
    },
  );
  routes.account({ path: "GET /pipelines/:pipeline", response: PipelineSchema }, async ({ user, params, ...call }) => {
    refuseOfficialDiff(call.request);
    return pipelineJson((await pipelineSeen(params["pipeline"] ?? "", user, context)).pipeline, call);
  });
  routes.account(
    {
      path: "PATCH /pipelines/:pipeline",
      body: Type.Object({ name: Type.Optional(Type.String({ maxLength: 200 })) }),
      response: PipelineSchema,
    },
    async ({ user, params, body, ...call }) => {
      const pipeline = await pipelineNamed(params["pipeline"] ?? "", user, context);
      const changed = body.name === undefined ? pipeline : await store.pipelines.rename(pipeline.id, body.name);
      return pipelineJson(changed, call);
    },
  );
  routes.account(
    { path: "DELETE /pipelines/:pipeline", response: PipelineSchema },
    async ({ user, params, about, ...call }) => {
      const pipeline = await pipelineNamed(params["pipeline"] ?? "", user, context);
      about(...(await couplings(await store.pipelines.couplings(pipeline.id))).map(({ app }) => app));
      await store.pipelines.remove(pipeline.id);
      return pipelineJson(pipeline, call);
    },
  );

  const list = { response: Type.Array(CouplingSchema), orderBy: byId };
  routes.account({ path: "GET /pipeline-couplings", ...list }, async ({ user }) => couplings(await own(user)));
  routes.account({ path: "GET /users/:account/pipeline-couplings", ...list }, async (call) =>
    couplings(await own(self(call))),
  );
  routes.account({ path: "GET /pipelines/:pipeline/pipeline-couplings", ...list }, async ({ user, params }) => {
    return couplings((await pipelineSeen(params["pipeline"] ?? "", user, context)).couplings);
  });
  /** One, not a list (platform-api, trap 13). */
  routes.app(
    { path: "GET /apps/:app/pipeline-couplings", needs: "view", response: CouplingSchema },
    async ({ app }) => {
      const coupling = await store.pipelines.couplingOfApp(app.id);
      if (!coupling) throw noCoupling();
      return couplingJson(coupling, context);
    },
  );
  routes.account(
    { path: "POST /pipeline-couplings", body: CoupleBody, response: CouplingSchema, status: 201 },
    async ({ user, body, about, tell }) => {
      const access = await appFor(user, named(body.app), store);
      const { app } = access;
      about(app);
      demand(access, "operate");
      const pipeline = await pipelineNamed(named(body.pipeline), user, context);
      const coupling = { pipelineId: pipeline.id, appId: app.id, stage: body.stage };
      tell({ pipeline: pipeline.name, stage: body.stage });
      return couplingJson(await store.pipelines.couple(coupling), context);
    },
  );
  routes.account({ path: "GET /pipeline-couplings/:coupling", response: CouplingSchema }, async (call) =>
    couplingJson(await couplingNamed(call, "view"), context),
  );
  routes.account(
    {
      path: "PATCH /pipeline-couplings/:coupling",
      body: Type.Object({ stage: Type.Optional(StageSchema) }),
      response: CouplingSchema,
    },
    async (call) => {
      const coupling = await couplingNamed(call, "operate");
      const { stage } = call.body;
      if (stage !== undefined) call.tell({ stage });
      return couplingJson(stage === undefined ? coupling : await store.pipelines.setStage(coupling.id, stage), context);
    },
  );
  routes.account({ path: "DELETE /pipeline-couplings/:coupling", response: CouplingSchema }, async (call) => {
    const coupling = await couplingNamed(call, "operate");
    const answer = await couplingJson(coupling, context);
    await store.pipelines.uncouple(coupling.id);
    return answer;
  });

  /** Of a pipeline of theirs, or of an app on which they may do that. */
  async function couplingNamed({ params, user, about }: AccountCall, needed: Permission): Promise<Coupling> {
    const coupling = await store.pipelines.couplingById(params["coupling"] ?? "");
    if (!coupling) throw noCoupling();
    const pipeline = await store.pipelines.byId(coupling.pipelineId);
    const app = await store.apps.byId(coupling.appId);
    const access = await store.apps.findFor(user.id, coupling.appId);
    if (pipeline?.ownerId !== user.id && access === undefined) throw noCoupling();
    if (app) about(app);
    if (pipeline?.ownerId === user.id) return coupling;
    if (access === undefined) throw noCoupling();
    demand(access, needed);
    return coupling;
  }
}

/** A pipeline of the caller's, by id or name. Throws `not_found`. */
export async function pipelineNamed(text: string, user: User, { store }: ApiContext): Promise<Pipeline> {
  const all = await store.pipelines.list(user.id);
  const pipeline = all.find(({ id, name }) => id === text || name === text);
  if (pipeline) return pipeline;
  throw noPipeline();
}

/**
 * The official `pipelines:diff` sends its token to a service of Heroku's, whatever platform it is pointed at, after it has asked us for the
 * pipeline. It alone asks for one in this variant as a later call of its run: each call has the ids of those before it in `Request-Id`.
 */
function refuseOfficialDiff({ headers }: FastifyRequest): void {
  const { "user-agent": agent = "", accept = "" } = headers;
  const isLater = String(headers["request-id"] ?? "").includes(",");
  if (!agent.startsWith("heroku-cli/") || !accept.endsWith(".pipelines") || !isLater) return;
  throw new PlatformError(
    "invalid_params",
    "heroku pipelines:diff would send your token to a service of Heroku's to ask GitHub: type stator pipelines:diff.",
  );
}

/** One of the caller's; or, by id, one that has an app in which they have a part, with the couplings of such apps. Throws `not_found`. */
export async function pipelineSeen(
  text: string,
  user: User,
  { store }: ApiContext,
): Promise<{ readonly pipeline: Pipeline; readonly couplings: readonly Coupling[] }> {
  const own = (await store.pipelines.list(user.id)).find(({ id, name }) => id === text || name === text);
  const pipeline = own ?? (await store.pipelines.byId(text));
  const all = pipeline === undefined ? [] : await store.pipelines.couplings(pipeline.id);
  if (own) return { pipeline: own, couplings: all };
  const couplings: Coupling[] = [];
  for (const coupling of all) if (await store.apps.findFor(user.id, coupling.appId)) couplings.push(coupling);
  if (pipeline && couplings.length > 0) return { pipeline, couplings };
  throw noPipeline();
}

function noPipeline(): PlatformError {
  return new PlatformError("not_found", "Couldn't find that pipeline.", { resource: "pipeline" });
}

function noCoupling(): PlatformError {
  return new PlatformError("not_found", "Couldn't find that pipeline coupling.", { resource: "pipeline_coupling" });
}

function named(reference: string | { readonly id?: string; readonly name?: string }): string {
  return typeof reference === "string" ? reference : (reference.id ?? reference.name ?? "");
}

function pipelineJson(pipeline: Pipeline, { isSdk }: Pick<Call, "isSdk">) {
  return {
    created_at: dateTime(pipeline.createdAt),
    generation: isSdk ? GENERATION.name : GENERATION,
    id: pipeline.id,
    name: pipeline.name,
    owner: { id: pipeline.ownerId, type: "user" },
    updated_at: dateTime(pipeline.updatedAt),
  };
}

async function couplingJson(coupling: Coupling, { store }: ApiContext) {
  const app: App | undefined = await store.apps.byId(coupling.appId);
  const pipeline = await store.pipelines.byId(coupling.pipelineId);
  return {
    app: { id: coupling.appId, name: app?.name ?? "" },
    created_at: dateTime(coupling.createdAt),
    id: coupling.id,
    pipeline: { id: coupling.pipelineId, name: pipeline?.name ?? "" },
    stage: coupling.stage,
    updated_at: dateTime(coupling.updatedAt),
  };
}
