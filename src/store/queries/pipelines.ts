import { PlatformError } from "../../model/errors.ts";
import {
  type Coupling,
  PIPELINE_NAME,
  type Pipeline,
  type Promotion,
  type PromotionTarget,
} from "../../model/pipeline.ts";
import type { PipelineStore } from "../store.ts";
import type { CouplingRow, Database, PipelineRow, PromotionRow, PromotionTargetRow } from "../tables.ts";
import { newId, type Work } from "../work.ts";
import { found } from "./missing.ts";

export function pipelineQueries(work: Work): PipelineStore {
  const coupling = (column: "id" | "app_id", value: string) =>
    work.read(async (db) => {
      const row = await db.selectFrom("pipeline_couplings").selectAll().where(column, "=", value).executeTakeFirst();
      return row && couplingOf(row);
    });
  return {
    list: (ownerId) =>
      work.read(async (db) => {
        const rows = db.selectFrom("pipelines").selectAll().where("owner_id", "=", ownerId);
        return (await rows.orderBy("name").execute()).map(pipelineOf);
      }),
    byId: (id) =>
      work.read(async (db) => {
        const row = await db.selectFrom("pipelines").selectAll().where("id", "=", id).executeTakeFirst();
        return row && pipelineOf(row);
      }),
    create: ({ name, ownerId }) =>
      work.write(async (db) => {
        await refuseName(db, name, ownerId);
        const now = work.clock.now();
        const row: PipelineRow = { id: newId(work), name, owner_id: ownerId, created_at: now, updated_at: now };
        await db.insertInto("pipelines").values(row).execute();
        return pipelineOf(row);
      }),
    rename: (id, name) =>
      work.write(async (db) => {
        const before = await db.selectFrom("pipelines").selectAll().where("id", "=", id).executeTakeFirst();
        const pipeline = found(before, "pipeline");
        if (pipeline.name === name) return pipelineOf(pipeline);
        await refuseName(db, name, pipeline.owner_id);
        const change = { name, updated_at: work.clock.now() };
        await db.updateTable("pipelines").set(change).where("id", "=", id).execute();
        return pipelineOf({ ...pipeline, ...change });
      }),
    give: (id, ownerId) =>
      work.write(async (db) => {
        const before = await db.selectFrom("pipelines").selectAll().where("id", "=", id).executeTakeFirst();
        const pipeline = found(before, "pipeline");
        if (await hasPipeline(db, pipeline.name, ownerId))
          throw new PlatformError(
            "invalid_params",
            `They have a pipeline called ${pipeline.name} already: give this one another name first.`,
          );
        const change = { owner_id: ownerId, updated_at: work.clock.now() };
        await db.updateTable("pipelines").set(change).where("id", "=", id).execute();
        return pipelineOf({ ...pipeline, ...change });
      }),
    remove: (id) => work.write(async (db) => void (await db.deleteFrom("pipelines").where("id", "=", id).execute())),
    couplings: (pipelineId) =>
      work.read(async (db) => {
        const rows = db.selectFrom("pipeline_couplings").selectAll().where("pipeline_id", "=", pipelineId);
        return (await rows.orderBy("created_at").orderBy("id").execute()).map(couplingOf);
      }),
    couplingById: (id) => coupling("id", id),
    couplingOfApp: (appId) => coupling("app_id", appId),
    couple: ({ pipelineId, appId, stage }) =>
      work.write(async (db, touch) => {
        const other = db.selectFrom("pipeline_couplings").select("id").where("app_id", "=", appId);
        if (await other.executeTakeFirst())
          throw new PlatformError("invalid_params", "This app is in a pipeline already; an app is in one at most.");
        touch(appId);
        const now = work.clock.now();
        const id = newId(work);
        const row = { id, pipeline_id: pipelineId, app_id: appId, stage, created_at: now, updated_at: now };
        await db.insertInto("pipeline_couplings").values(row).execute();
        return couplingOf(row);
      }),
    setStage: (id, stage) =>
      work.write(async (db) => {
        const change = { stage, updated_at: work.clock.now() };
        const rows = db.updateTable("pipeline_couplings").set(change).where("id", "=", id).returningAll();
        return couplingOf(found(await rows.executeTakeFirst(), "pipeline coupling"));
      }),
    uncouple: (id) =>
      work.write(async (db) => void (await db.deleteFrom("pipeline_couplings").where("id", "=", id).execute())),
    addPromotion: ({ pipelineId, sourceAppId, sourceReleaseId, targets }) =>
      work.write(async (db) => {
        const row: PromotionRow = {
          id: newId(work),
          pipeline_id: pipelineId,
          source_app_id: sourceAppId,
          source_release_id: sourceReleaseId,
          created_at: work.clock.now(),
        };
        await db.insertInto("pipeline_promotions").values(row).execute();
        const rows = targets.map(({ appId, releaseId }) => ({
          id: newId(work),
          promotion_id: row.id,
          app_id: appId,
          release_id: releaseId,
        }));
        await db.insertInto("promotion_targets").values(rows).execute();
        return promotionOf(row);
      }),
    promotionById: (id) =>
      work.read(async (db) => {
        const row = await db.selectFrom("pipeline_promotions").selectAll().where("id", "=", id).executeTakeFirst();
        return row && promotionOf(row);
      }),
    targets: (promotionId) =>
      work.read(async (db) => {
        const rows = db.selectFrom("promotion_targets").selectAll().where("promotion_id", "=", promotionId);
        return (await rows.orderBy("id").execute()).map(targetOf);
      }),
  };
}

async function refuseName(db: Database, name: string, ownerId: string): Promise<void> {
  if (!PIPELINE_NAME.test(name))
    throw new PlatformError(
      "invalid_params",
      "Name must start with a letter, end with a letter or digit and can only contain lowercase letters, digits, and dashes (3 to 30 characters).",
    );
  if (await hasPipeline(db, name, ownerId))
    throw new PlatformError("invalid_params", `You have a pipeline called ${name} already.`);
}

async function hasPipeline(db: Database, name: string, ownerId: string): Promise<boolean> {
  const same = db.selectFrom("pipelines").select("id").where("owner_id", "=", ownerId).where("name", "=", name);
  return (await same.executeTakeFirst()) !== undefined;
}

function pipelineOf(row: PipelineRow): Pipeline {
  return {
    id: row.id,
    name: row.name,
    ownerId: row.owner_id,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

function couplingOf(row: CouplingRow): Coupling {
  return {
    id: row.id,
    pipelineId: row.pipeline_id,
    appId: row.app_id,
    stage: row.stage,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

function promotionOf(row: PromotionRow): Promotion {
  return {
    id: row.id,
    pipelineId: row.pipeline_id,
    sourceAppId: row.source_app_id,
    sourceReleaseId: row.source_release_id,
    createdAt: row.created_at,
  };
}

function targetOf(row: PromotionTargetRow): PromotionTarget {
  return { id: row.id, promotionId: row.promotion_id, appId: row.app_id, releaseId: row.release_id };
}
