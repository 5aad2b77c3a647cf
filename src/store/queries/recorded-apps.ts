import type { RecordedAppStore } from "../store.ts";
import type { Work } from "../work.ts";

export function recordedAppQueries(work: Work): RecordedAppStore {
  return {
    has: (appId) =>
      work.read(async (db) => {
        const rows = db.selectFrom("recorded_apps").select("app_id").where("app_id", "=", appId);
        return (await rows.executeTakeFirst()) !== undefined;
      }),
    set: (appId, isRecorded) =>
      work.write(async (db) => {
        if (!isRecorded) {
          await db.deleteFrom("recorded_apps").where("app_id", "=", appId).execute();
          return;
        }
        const row = { app_id: appId, since: work.clock.now() };
        await db
          .insertInto("recorded_apps")
          .values(row)
          .onConflict((conflict) => conflict.doNothing())
          .execute();
      }),
  };
}
