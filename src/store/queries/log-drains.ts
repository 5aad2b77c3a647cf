import { DRAINS_MAX } from "../../model/drain-url.ts";
import { PlatformError } from "../../model/errors.ts";
import type { LogDrain, LogDrainStore } from "../store.ts";
import type { LogDrainRow } from "../tables.ts";
import { newId, type Work } from "../work.ts";
import { drainRows } from "./drain-rows.ts";
import { requireApp } from "./missing.ts";

export function logDrainQueries(work: Work): LogDrainStore {
  const drainOf = (row: LogDrainRow): LogDrain => ({
    id: row.id,
    appId: row.app_id,
    url: work.secrets.open(row.sealed, placeOf(row.id)),
    token: row.token,
    position: row.position,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  });
  return {
    list: (appId) =>
      work.read(async (db) => {
        const rows = db.selectFrom("log_drains").selectAll().where("app_id", "=", appId).orderBy("seq");
        return (await rows.execute()).map(drainOf);
      }),
    all: () => work.read(async (db) => (await db.selectFrom("log_drains").selectAll().execute()).map(drainOf)),
    create: ({ appId, url, position }) =>
      work.write(async (db, touch) => {
        await requireApp(db, appId);
        const rows = await db.selectFrom("log_drains").selectAll().where("app_id", "=", appId).orderBy("seq").execute();
        if (rows.some((row) => drainOf(row).url === url))
          throw new PlatformError("invalid_params", "Url has already been taken");
        if (rows.length >= DRAINS_MAX)
          throw new PlatformError("invalid_params", `The app has ${DRAINS_MAX} drains already; remove one first.`);
        const now = work.clock.now();
        const id = newId(work);
        const row: LogDrainRow = {
          id,
          app_id: appId,
          seq: (rows.at(-1)?.seq ?? 0) + 1,
          token: `d.${newId(work)}`,
          sealed: work.secrets.seal(url, placeOf(id)),
          position,
          created_at: now,
          updated_at: now,
        };
        await db.insertInto("log_drains").values(row).execute();
        touch(appId);
        return drainOf(row);
      }),
    ...drainRows(work, "log_drains"),
  };
}

const placeOf = (id: string): string => `log_drains/${id}`;
