import type { Kysely } from "kysely";

/** Pages of a user's apps, by name and by id, without looking at all of them. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.createIndex("apps_of_owner_by_name").on("apps").columns(["owner_id", "name"]).execute();
  await db.schema.createIndex("apps_of_owner_by_id").on("apps").columns(["owner_id", "id"]).execute();
  await db.schema.dropIndex("apps_of_owner").execute();
}
