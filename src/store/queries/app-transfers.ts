import type { AppTransfer } from "../../model/app-transfer.ts";
import { PlatformError } from "../../model/errors.ts";
import type { AppTransferStore } from "../store.ts";
import type { AppTransferRow } from "../tables.ts";
import { newId, type Work } from "../work.ts";
import { found } from "./missing.ts";

export function appTransferQueries(work: Work): AppTransferStore {
  return {
    list: (userId) =>
      work.read(async (db) => {
        const rows = db
          .selectFrom("app_transfers")
          .selectAll()
          .where((is) => is.or([is("owner_id", "=", userId), is("recipient_id", "=", userId)]));
        return (await rows.orderBy("created_at").orderBy("id").execute()).map(transferOf);
      }),
    byId: (id) =>
      work.read(async (db) => {
        const row = await db.selectFrom("app_transfers").selectAll().where("id", "=", id).executeTakeFirst();
        return row && transferOf(row);
      }),
    create: ({ appId, recipientId }) =>
      work.write(async (db, touch) => {
        const app = found(
          await db.selectFrom("apps").select(["owner_id", "name"]).where("id", "=", appId).executeTakeFirst(),
          "app",
        );
        const before = await db.selectFrom("app_transfers").selectAll().where("app_id", "=", appId).executeTakeFirst();
        if (before?.state === "pending")
          throw new PlatformError("invalid_params", `${app.name} is being transferred already: cancel that first.`);
        if (app.owner_id === recipientId) throw new PlatformError("invalid_params", `${app.name} is theirs already.`);
        await db.deleteFrom("app_transfers").where("app_id", "=", appId).execute();
        const now = work.clock.now();
        const row: AppTransferRow = {
          id: newId(work),
          app_id: appId,
          owner_id: app.owner_id,
          recipient_id: recipientId,
          state: "pending",
          created_at: now,
          updated_at: now,
        };
        await db.insertInto("app_transfers").values(row).execute();
        touch(appId);
        return transferOf(row);
      }),
    answer: (id, state, permissions) =>
      work.write(async (db, touch) => {
        const row = await db.selectFrom("app_transfers").selectAll().where("id", "=", id).executeTakeFirst();
        const before = found(row, "app_transfer");
        if (before.state !== "pending")
          throw new PlatformError("invalid_params", `This transfer was ${before.state} already.`);
        const now = work.clock.now();
        const { app_id, owner_id, recipient_id } = before;
        await db.updateTable("app_transfers").set({ state, updated_at: now }).where("id", "=", id).execute();
        if (state === "accepted") {
          await db
            .deleteFrom("collaborators")
            .where("app_id", "=", app_id)
            .where("user_id", "=", recipient_id)
            .execute();
          const part = { id: newId(work), app_id, user_id: owner_id, permissions: JSON.stringify(permissions) };
          await db
            .insertInto("collaborators")
            .values({ ...part, created_at: now, updated_at: now })
            .execute();
          const owner = { owner_id: recipient_id, updated_at: now };
          await db.updateTable("apps").set(owner).where("id", "=", app_id).execute();
        }
        touch(app_id);
        return transferOf({ ...before, state, updated_at: now });
      }),
    remove: (id) =>
      work.write(async (db, touch) => {
        const row = await db.deleteFrom("app_transfers").where("id", "=", id).returning("app_id").executeTakeFirst();
        if (row) touch(row.app_id);
      }),
  };
}

function transferOf(row: AppTransferRow): AppTransfer {
  return {
    id: row.id,
    appId: row.app_id,
    ownerId: row.owner_id,
    recipientId: row.recipient_id,
    state: row.state,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
