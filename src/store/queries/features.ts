import type { FeatureSwitch } from "../../model/feature.ts";
import type { AccountFeatureStore, FeatureStore } from "../store.ts";
import type { FeatureRow } from "../tables.ts";
import type { Work } from "../work.ts";
import { requireApp } from "./missing.ts";

export function featureQueries(work: Work): FeatureStore {
  return {
    list: (appId) =>
      work.read(async (db) => {
        const rows = db.selectFrom("app_features").selectAll().where("app_id", "=", appId).orderBy("name");
        return (await rows.execute()).map(switchOf);
      }),
    set: (appId, name, enabled) =>
      work.write(async (db, touch) => {
        await requireApp(db, appId);
        const now = work.clock.now();
        const row = await db
          .insertInto("app_features")
          .values({ app_id: appId, name, enabled: Number(enabled), created_at: now, updated_at: now })
          .onConflict((conflict) =>
            conflict.columns(["app_id", "name"]).doUpdateSet({ enabled: Number(enabled), updated_at: now }),
          )
          .returningAll()
          .executeTakeFirstOrThrow();
        touch(appId);
        return switchOf(row);
      }),
    appsWith: (name, enabled) =>
      work.read(async (db) => {
        const rows = db.selectFrom("app_features").select("app_id").where("name", "=", name);
        const matching = await rows.where("enabled", "=", Number(enabled)).orderBy("app_id").execute();
        return matching.map(({ app_id }) => app_id);
      }),
  };
}

export function accountFeatureQueries(work: Work): AccountFeatureStore {
  return {
    list: (userId) =>
      work.read(async (db) => {
        const rows = db.selectFrom("account_features").selectAll().where("user_id", "=", userId).orderBy("name");
        return (await rows.execute()).map(switchOf);
      }),
    set: (userId, name, enabled) =>
      work.write(async (db) => {
        const now = work.clock.now();
        const row = await db
          .insertInto("account_features")
          .values({ user_id: userId, name, enabled: Number(enabled), created_at: now, updated_at: now })
          .onConflict((conflict) =>
            conflict.columns(["user_id", "name"]).doUpdateSet({ enabled: Number(enabled), updated_at: now }),
          )
          .returningAll()
          .executeTakeFirstOrThrow();
        return switchOf(row);
      }),
  };
}

function switchOf({ name, enabled, created_at, updated_at }: Omit<FeatureRow, "app_id">): FeatureSwitch {
  return { name, enabled: enabled === 1, createdAt: created_at, updatedAt: updated_at };
}
