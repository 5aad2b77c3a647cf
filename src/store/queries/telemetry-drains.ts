import { PlatformError } from "../../model/errors.ts";
import { TELEMETRY_DRAINS_MAX } from "../../model/telemetry.ts";
import type { TelemetryDrain, TelemetryDrainStore, TelemetrySettings } from "../store.ts";
import type { TelemetryDrainRow } from "../tables.ts";
import { newId, type Work } from "../work.ts";
import { drainRows } from "./drain-rows.ts";
import { found, requireApp } from "./missing.ts";

export function telemetryDrainQueries(work: Work): TelemetryDrainStore {
  const columnsOf = (id: string, { signals, endpoint, headers }: TelemetrySettings) => ({
    signals: JSON.stringify(signals),
    sealed: work.secrets.seal(JSON.stringify({ endpoint, headers }), placeOf(id)),
  });
  const drainOf = (row: TelemetryDrainRow): TelemetryDrain => ({
    id: row.id,
    appId: row.app_id,
    signals: JSON.parse(row.signals) as TelemetryDrain["signals"], // only `columnsOf` writes them
    ...(JSON.parse(work.secrets.open(row.sealed, placeOf(row.id))) as Pick<TelemetryDrain, "endpoint" | "headers">),
    position: row.position,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  });
  return {
    list: (appId) =>
      work.read(async (db) => {
        const rows = db.selectFrom("telemetry_drains").selectAll().where("app_id", "=", appId).orderBy("seq");
        return (await rows.execute()).map(drainOf);
      }),
    all: () => work.read(async (db) => (await db.selectFrom("telemetry_drains").selectAll().execute()).map(drainOf)),
    byId: (id) =>
      work.read(async (db) => {
        const row = await db.selectFrom("telemetry_drains").selectAll().where("id", "=", id).executeTakeFirst();
        return row && drainOf(row);
      }),
    create: ({ appId, position, ...settings }) =>
      work.write(async (db, touch) => {
        await requireApp(db, appId);
        const rows = await db.selectFrom("telemetry_drains").select("seq").where("app_id", "=", appId).execute();
        if (rows.length >= TELEMETRY_DRAINS_MAX) {
          const message = `The app has ${TELEMETRY_DRAINS_MAX} telemetry drains already; remove one first.`;
          throw new PlatformError("invalid_params", message);
        }
        const now = work.clock.now();
        const id = newId(work);
        const row: TelemetryDrainRow = {
          id,
          app_id: appId,
          seq: Math.max(0, ...rows.map(({ seq }) => seq)) + 1,
          ...columnsOf(id, settings),
          position,
          created_at: now,
          updated_at: now,
        };
        await db.insertInto("telemetry_drains").values(row).execute();
        touch(appId);
        return drainOf(row);
      }),
    update: (id, change) =>
      work.write(async (db, touch) => {
        const row = await db.selectFrom("telemetry_drains").selectAll().where("id", "=", id).executeTakeFirst();
        const columns = columnsOf(id, { ...drainOf(found(row, "telemetry_drain")), ...change });
        const after = await db
          .updateTable("telemetry_drains")
          .set({ ...columns, updated_at: work.clock.now() })
          .where("id", "=", id)
          .returningAll()
          .executeTakeFirstOrThrow();
        touch(after.app_id);
        return drainOf(after);
      }),
    ...drainRows(work, "telemetry_drains"),
  };
}

const placeOf = (id: string): string => `telemetry_drains/${id}`;
