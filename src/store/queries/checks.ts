import type { HealthCheck } from "../../model/health.ts";
import type { CheckStore } from "../store.ts";
import type { Work } from "../work.ts";
import { requireApp } from "./missing.ts";

export function checkQueries(work: Work): CheckStore {
  return {
    list: (appId) =>
      work.read(async (db) => {
        const rows = db.selectFrom("health_checks").selectAll().where("app_id", "=", appId).orderBy("type");
        // The cast holds because `set` alone writes there.
        return Object.fromEntries(
          (await rows.execute()).map(({ type, checks }) => [type, JSON.parse(checks) as readonly HealthCheck[]]),
        );
      }),
    set: (appId, type, checks) =>
      work.write(async (db, touch) => {
        await requireApp(db, appId);
        const text = JSON.stringify(checks);
        await db
          .insertInto("health_checks")
          .values({ app_id: appId, type, checks: text })
          .onConflict((conflict) => conflict.columns(["app_id", "type"]).doUpdateSet({ checks: text }))
          .execute();
        touch(appId);
      }),
    clear: (appId, type) =>
      work.write(async (db, touch) => {
        await db.deleteFrom("health_checks").where("app_id", "=", appId).where("type", "=", type).execute();
        touch(appId);
      }),
  };
}
