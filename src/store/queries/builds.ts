import type { BuildpackRef } from "../../model/buildpack.ts";
import type { Build, BuildSource } from "../../model/release.ts";
import type { BuildStore } from "../store.ts";
import type { BuildRow } from "../tables.ts";
import { newId, type Work } from "../work.ts";
import { found } from "./missing.ts";

export function buildQueries(work: Work): BuildStore {
  return {
    byId: (id) =>
      work.read(async (db) => {
        const row = await db.selectFrom("builds").selectAll().where("id", "=", id).executeTakeFirst();
        return row && buildOf(row);
      }),
    list: (appId) =>
      work.read(async (db) => {
        const rows = db.selectFrom("builds").selectAll().where("app_id", "=", appId).orderBy("seq", "desc");
        return (await rows.execute()).map(buildOf);
      }),
    listPending: () =>
      work.read(async (db) => {
        const rows = db.selectFrom("builds").selectAll().where("status", "=", "pending").orderBy("seq");
        return (await rows.execute()).map(buildOf);
      }),
    create: (build) =>
      work.write(async (db, touch) => {
        const { last } = await db
          .selectFrom("builds")
          .select((row) => row.fn.max("seq").as("last"))
          .executeTakeFirstOrThrow();
        const now = work.clock.now();
        const row: BuildRow = {
          id: newId(work),
          app_id: build.appId,
          seq: (last ?? 0) + 1,
          user_id: build.userId,
          status: "pending",
          commit_hash: build.commit,
          buildpack_description: null,
          source: build.source === undefined ? null : JSON.stringify(build.source),
          buildpacks: build.buildpacks?.length ? JSON.stringify(build.buildpacks) : null,
          slug_id: null,
          release_id: null,
          created_at: now,
          updated_at: now,
        };
        await db.insertInto("builds").values(row).execute();
        touch(build.appId);
        return buildOf(row);
      }),
    update: (id, change) =>
      work.write(async (db, touch) => {
        const row = await db
          .updateTable("builds")
          .set({
            updated_at: work.clock.now(),
            ...(change.status !== undefined && { status: change.status }),
            ...(change.slugId !== undefined && { slug_id: change.slugId }),
            ...(change.releaseId !== undefined && { release_id: change.releaseId }),
            ...(change.commit !== undefined && { commit_hash: change.commit }),
            ...(change.buildpackDescription !== undefined && { buildpack_description: change.buildpackDescription }),
          })
          .where("id", "=", id)
          .returningAll()
          .executeTakeFirst();
        const build = buildOf(found(row, "build"));
        touch(build.appId);
        return build;
      }),
  };
}

function buildOf(row: BuildRow): Build {
  return {
    id: row.id,
    appId: row.app_id,
    userId: row.user_id,
    status: row.status,
    commit: row.commit_hash,
    source: row.source === null ? null : (JSON.parse(row.source) as BuildSource), // written by `create` alone
    buildpacks: row.buildpacks === null ? null : (JSON.parse(row.buildpacks) as BuildpackRef[]), // likewise
    buildpackDescription: row.buildpack_description,
    slugId: row.slug_id,
    releaseId: row.release_id,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
