import type { Kysely } from "kysely";

/** Apps whose sessions are recorded. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("recorded_apps")
    .addColumn("app_id", "text", (col) => col.primaryKey().references("apps.id").onDelete("cascade"))
    .addColumn("since", "integer", (col) => col.notNull())
    .execute();
}
