import type { Collaborator } from "../../model/collaborator.ts";
import { PlatformError } from "../../model/errors.ts";
import type { Permission } from "../../model/permission.ts";
import type { CollaboratorStore } from "../store.ts";
import type { CollaboratorRow } from "../tables.ts";
import { newId, type Work } from "../work.ts";
import { found } from "./missing.ts";

const COLLABORATORS_MAX = 500;

export function collaboratorQueries(work: Work): CollaboratorStore {
  return {
    list: (appId) =>
      work.read(async (db) => {
        const rows = db.selectFrom("collaborators").selectAll().where("app_id", "=", appId);
        return (await rows.orderBy("created_at").orderBy("id").execute()).map(collaboratorOf);
      }),
    add: ({ appId, userId, permissions }) =>
      work.write(async (db, touch) => {
        const app = await db.selectFrom("apps").select("owner_id").where("id", "=", appId).executeTakeFirst();
        const others = await db.selectFrom("collaborators").select("user_id").where("app_id", "=", appId).execute();
        if (found(app, "app").owner_id === userId || others.some(({ user_id }) => user_id === userId))
          throw new PlatformError("invalid_params", "User is already a collaborator on app.");
        if (others.length >= COLLABORATORS_MAX)
          throw new PlatformError("invalid_params", `At most ${COLLABORATORS_MAX} collaborators for an app.`);
        const now = work.clock.now();
        const row: CollaboratorRow = {
          id: newId(work),
          app_id: appId,
          user_id: userId,
          permissions: JSON.stringify(permissions),
          created_at: now,
          updated_at: now,
        };
        await db.insertInto("collaborators").values(row).execute();
        touch(appId);
        return collaboratorOf(row);
      }),
    setPermissions: (id, permissions) =>
      work.write(async (db, touch) => {
        const row = await db
          .updateTable("collaborators")
          .set({ permissions: JSON.stringify(permissions), updated_at: work.clock.now() })
          .where("id", "=", id)
          .returningAll()
          .executeTakeFirst();
        const changed = found(row, "collaborator");
        touch(changed.app_id);
        return collaboratorOf(changed);
      }),
    remove: (id) =>
      work.write(async (db, touch) => {
        const row = await db.deleteFrom("collaborators").where("id", "=", id).returning("app_id").executeTakeFirst();
        if (row) touch(row.app_id);
      }),
  };
}

/** Of the column, which is written here alone. */
export function permissionsIn(column: string): readonly Permission[] {
  return JSON.parse(column) as Permission[];
}

function collaboratorOf(row: CollaboratorRow): Collaborator {
  return {
    id: row.id,
    appId: row.app_id,
    userId: row.user_id,
    permissions: permissionsIn(row.permissions),
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
