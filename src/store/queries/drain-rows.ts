import type { LogDrainStore } from "../store.ts";
import type { Work } from "../work.ts";

/** What is the same for the drains of either table. */
export function drainRows(
  work: Work,
  table: "log_drains" | "telemetry_drains",
): Pick<LogDrainStore, "remove" | "setPositions"> {
  return {
    remove: (id) =>
      work.write(async (db, touch) => {
        const row = await db.deleteFrom(table).where("id", "=", id).returning("app_id").executeTakeFirst();
        if (row) touch(row.app_id);
      }),
    setPositions: (positions) =>
      work.write(async (db) => {
        for (const [id, position] of positions)
          await db.updateTable(table).set({ position }).where("id", "=", id).execute();
      }),
  };
}
