import { PROCESS_TYPE } from "../../model/app.ts";
import { PlatformError } from "../../model/errors.ts";
import type { Formation, Scaling } from "../../model/formation.ts";
import { RELEASE_TYPE } from "../../model/release.ts";
import { DEFAULT_SIZE, sizeOffered, sizes } from "../../model/size.ts";
import type { FormationStore } from "../store.ts";
import type { Database, FormationRow } from "../tables.ts";
import { newId, type Work } from "../work.ts";
import { found } from "./missing.ts";
import { wakeApp } from "./wake.ts";

/** Dynos of all types of an app together (spec 2.3). */
export const DYNOS_MAX = 100;

type Change = Parameters<FormationStore["change"]>[1][number];

export function formationQueries(work: Work): FormationStore {
  return {
    list: (appId) => work.read(async (db) => (await rowsOf(db, appId)).map(formationOf)),
    sync: (appId, types) =>
      work.write(async (db, touch) => {
        const app = await db.selectFrom("apps").select("had_formation").where("id", "=", appId).executeTakeFirst();
        const isFirst = found(app, "app").had_formation === 0;
        const there = new Set((await rowsOf(db, appId)).map(({ type }) => type));
        const added = [...new Set(types)].filter((type) => !there.has(type));
        const gone = [...there].filter((type) => !types.includes(type));
        if (added.length === 0 && gone.length === 0) return;
        for (const type of added) await insertType(work, db, appId, type, isFirst && type === "web" ? 1 : 0);
        if (gone.length > 0) {
          await db.deleteFrom("formation").where("app_id", "=", appId).where("type", "in", gone).execute();
        }
        await db.updateTable("apps").set({ had_formation: 1 }).where("id", "=", appId).execute();
        touch(appId);
      }),
    ensure: (appId, type) =>
      work.write(async (db, touch) => {
        if ((await rowsOf(db, appId)).some((row) => row.type === type)) return;
        await insertType(work, db, appId, type, 0);
        touch(appId);
      }),
    change: (appId, changes) =>
      work.write(async (db, touch) => {
        const before = await rowsOf(db, appId);
        const after = changes.reduce(applyChange, before);
        refuseTooMany(before, after);
        const now = work.clock.now();
        for (const { id, quantity, size } of after.filter((row) => !before.includes(row))) {
          await db.updateTable("formation").set({ quantity, size, updated_at: now }).where("id", "=", id).execute();
        }
        await wakeApp(db, touch, appId);
        touch(appId);
        return (await rowsOf(db, appId)).map(formationOf);
      }),
  };
}

function applyChange(rows: readonly FormationRow[], change: Change): readonly FormationRow[] {
  if (!rows.some(({ type }) => type === change.type)) {
    throw new PlatformError("invalid_params", `Couldn't find that process type (${change.type}).`);
  }
  const size = change.size === undefined ? undefined : offeredName(change.size);
  return rows.map((row) =>
    row.type === change.type
      ? { ...row, size: size ?? row.size, quantity: quantityAfter(row, change.quantity ?? row.quantity) }
      : row,
  );
}

function quantityAfter(row: FormationRow, quantity: number | { readonly by: number }): number {
  const wanted = typeof quantity === "number" ? quantity : row.quantity + quantity.by;
  if (row.type === RELEASE_TYPE && wanted !== 0) {
    throw new PlatformError(
      "invalid_params",
      "Cannot scale release: its command runs by itself, once for each release, before the release's dynos start.",
    );
  }
  if (Number.isSafeInteger(wanted) && wanted >= 0 && wanted <= DYNOS_MAX) return wanted;
  throw new PlatformError("invalid_params", `Cannot scale ${row.type} to ${wanted}: 0 to ${DYNOS_MAX} dynos.`);
}

function offeredName(name: string): string {
  const size = sizeOffered(name);
  if (size) return size.name;
  const offered = sizes()
    .map((each) => each.name)
    .join(", ");
  throw new PlatformError("invalid_params", `Couldn't find that dyno size (${name}). Available sizes: ${offered}.`);
}

function refuseTooMany(before: readonly FormationRow[], after: readonly FormationRow[]): void {
  const total = (rows: readonly FormationRow[]) => rows.reduce((sum, { quantity }) => sum + quantity, 0);
  if (total(after) <= DYNOS_MAX || total(after) <= total(before)) return;
  throw new PlatformError(
    "invalid_params",
    `Cannot scale to ${total(after)} dynos: at most ${DYNOS_MAX} for all process types of an app together.`,
  );
}

async function insertType(work: Work, db: Database, appId: string, type: string, quantity: number): Promise<void> {
  if (!PROCESS_TYPE.test(type)) throw new PlatformError("invalid_params", `${type} is not a process type.`);
  const now = work.clock.now();
  const row: FormationRow = {
    id: newId(work),
    app_id: appId,
    type,
    quantity,
    size: DEFAULT_SIZE,
    scaling: null,
    created_at: now,
    updated_at: now,
  };
  await db.insertInto("formation").values(row).execute();
}

function rowsOf(db: Database, appId: string): Promise<readonly FormationRow[]> {
  return db.selectFrom("formation").selectAll().where("app_id", "=", appId).orderBy("type").execute();
}

function formationOf(row: FormationRow): Formation {
  return {
    id: row.id,
    appId: row.app_id,
    type: row.type,
    quantity: row.quantity,
    size: row.size,
    scaling: row.scaling === null ? null : (JSON.parse(row.scaling) as Scaling), // written by us alone
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
