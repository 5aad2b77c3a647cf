import Type, { type Static } from "typebox";
import type { App, User } from "../../model/app.ts";
import { PlatformError } from "../../model/errors.ts";
import type { Pipeline, Promotion, PromotionTarget } from "../../model/pipeline.ts";
import type { Release } from "../../model/release.ts";
import type { Store } from "../../store/store.ts";
import { addRelease, announce } from "../actions.ts";
import { appFor, demand } from "../auth.ts";
import type { ApiContext } from "../context.ts";
import type { AccountCall, Routes } from "../route.ts";
import { DateTime, dateTime, exactly, nullable, Uuid } from "../schema.ts";
import { pipelineSeen } from "./pipelines.ts";

const Ref = exactly({ id: Uuid });
const PromotionSchema = exactly({
  created_at: DateTime,
  id: Uuid,
  pipeline: Ref,
  source: exactly({ app: Ref, release: Ref }),
  status: Type.Enum(["pending", "completed"]),
  updated_at: nullable(DateTime),
});
const TargetSchema = exactly({
  app: Ref,
  error_message: nullable(Type.String()),
  id: Uuid,
  pipeline_promotion: Ref,
  release: nullable(Ref),
  status: Type.Enum(["pending", "succeeded", "failed"]),
});

const Id = Type.Object({ id: Type.String({ maxLength: 200 }) });
const Body = Type.Object({
  pipeline: Id,
  source: Type.Object({ app: Id, release: Type.Optional(nullable(Id)) }),
  targets: Type.Array(Type.Object({ app: Id }), { minItems: 1, maxItems: 100 }),
});

/** Promotions: the code of one app's release, released in other apps of the pipeline with their own config vars (spec 9.7). */
export function promotionRoutes(routes: Routes, context: ApiContext): void {
  const { store } = context;
  routes.account(
    { path: "POST /pipeline-promotions", power: "write", body: Body, response: PromotionSchema, status: 201 },
    async (call) => promotionJson(await promote(call, context), context),
  );
  routes.account({ path: "GET /pipeline-promotions/:promotion", response: PromotionSchema }, async ({ user, params }) =>
    promotionJson(await promotionNamed(params["promotion"] ?? "", user, context), context),
  );
  routes.account(
    {
      path: "GET /pipeline-promotions/:promotion/promotion-targets",
      response: Type.Array(TargetSchema),
      orderBy: ["id"],
    },
    async ({ user, params }) => {
      const promotion = await promotionNamed(params["promotion"] ?? "", user, context);
      return Promise.all((await store.pipelines.targets(promotion.id)).map((each) => targetJson(each, store)));
    },
  );
}

async function promote(call: AccountCall<Static<typeof Body>>, context: ApiContext): Promise<Promotion> {
  const { store } = context;
  const { body, user, tell } = call;
  const { pipeline } = await pipelineSeen(body.pipeline.id, user, context);
  const source = await appIn(pipeline, body.source.app.id, call, store);
  const release = await releaseToPromote(source, body.source.release?.id, store);
  const ids = [...new Set(body.targets.map(({ app }) => app.id))];
  const targets: App[] = [];
  for (const id of ids) targets.push(await appIn(pipeline, id, call, store));
  if (targets.some(({ id }) => id === source.id))
    throw new PlatformError("invalid_params", `Cannot promote from an app to itself: ${source.name}.`);
  tell({ pipeline: pipeline.name, from: source.name, version: release.version });
  const { promotion, made } = await store.transaction(async (inside) => {
    const releases: { readonly app: App; readonly release: Release }[] = [];
    for (const app of targets) releases.push({ app, release: await promoteTo(app, source, release, user, inside) });
    return {
      made: releases,
      promotion: await inside.pipelines.addPromotion({
        pipelineId: pipeline.id,
        sourceAppId: source.id,
        sourceReleaseId: release.id,
        targets: releases.map((each) => ({ appId: each.app.id, releaseId: each.release.id })),
      }),
    };
  });
  for (const each of made) announce(context, each.release, each.app, user);
  return promotion;
}

/** Code may be taken from where one may deploy, and put there. */
async function appIn(
  pipeline: Pipeline,
  id: string,
  { user, about }: Pick<AccountCall, "user" | "about">,
  store: Store,
): Promise<App> {
  const access = await appFor(user, id, store);
  const { app } = access;
  about(app);
  demand(access, "deploy");
  const coupling = await store.pipelines.couplingOfApp(app.id);
  if (coupling?.pipelineId === pipeline.id) return app;
  throw new PlatformError("invalid_params", `The app ${app.name} is not in the pipeline ${pipeline.name}.`);
}

/** The named one, else the one that runs: what is pending has not shown that it can. */
async function releaseToPromote(
  app: App,
  id: string | undefined,
  store: Store,
): Promise<Release & { readonly slugId: string }> {
  const wanted = id ?? app.currentReleaseId;
  const release = wanted === null ? undefined : await store.releases.byId(wanted);
  if (id !== undefined && release?.appId !== app.id)
    throw new PlatformError("not_found", "Couldn't find that release.", { resource: "release" });
  if (!release || release.slugId === null || release.status !== "succeeded")
    throw new PlatformError("invalid_params", `The app ${app.name} has no release with code that came up to promote.`);
  return { ...release, slugId: release.slugId };
}

async function promoteTo(
  app: App,
  source: App,
  { slugId, version }: Release & { readonly slugId: string },
  user: User,
  store: Store,
): Promise<Release> {
  const slug = await store.slugs.copy(slugId, app.id);
  const commit = slug.commit === null ? "" : ` ${slug.commit.slice(0, 8)}`;
  return addRelease(store, {
    app,
    user,
    description: `Promote ${source.name} v${version}${commit}`,
    slugId: slug.id,
    withCommand: true,
  });
}

/** Of a pipeline of the caller's, or among apps in which they have a part. */
async function promotionNamed(id: string, user: User, { store }: ApiContext): Promise<Promotion> {
  const promotion = await store.pipelines.promotionById(id);
  const pipeline = promotion && (await store.pipelines.byId(promotion.pipelineId));
  if (promotion && pipeline?.ownerId === user.id) return promotion;
  const targets = promotion ? await store.pipelines.targets(promotion.id) : [];
  const isSeen = async (appId: string) => (await store.apps.findFor(user.id, appId)) !== undefined;
  const apps = promotion ? [promotion.sourceAppId, ...targets.map(({ appId }) => appId)] : [];
  if (promotion && (await Promise.all(apps.map(isSeen))).every(Boolean)) return promotion;
  throw new PlatformError("not_found", "Couldn't find that pipeline promotion.", { resource: "pipeline_promotion" });
}

async function promotionJson(promotion: Promotion, { store }: ApiContext) {
  const targets = await store.pipelines.targets(promotion.id);
  const releases = await Promise.all(targets.map(({ releaseId }) => store.releases.byId(releaseId)));
  const all = releases.map(outcomeOf);
  return {
    created_at: dateTime(promotion.createdAt),
    id: promotion.id,
    pipeline: { id: promotion.pipelineId },
    source: { app: { id: promotion.sourceAppId }, release: { id: promotion.sourceReleaseId } },
    status: all.some(({ status }) => status === "pending") ? ("pending" as const) : ("completed" as const),
    updated_at: dateTime(Math.max(promotion.createdAt, ...releases.map((release) => release?.updatedAt ?? 0))),
  };
}

async function targetJson(target: PromotionTarget, store: Store) {
  const release = await store.releases.byId(target.releaseId);
  return {
    app: { id: target.appId },
    ...outcomeOf(release),
    id: target.id,
    pipeline_promotion: { id: target.promotionId },
    release: release === undefined ? null : { id: release.id },
  };
}

/** A target has done what its release has. */
function outcomeOf(release: Release | undefined) {
  const failed = (why: string) => ({ status: "failed" as const, error_message: why });
  if (release === undefined) return failed("The app was destroyed.");
  if (release.status === "failed") return failed(release.failure ?? "Its dynos did not come up.");
  if (release.status === "expired") return failed("A newer release took over first.");
  return { status: release.status, error_message: null };
}
