import type { Kysely } from "kysely";

/** The audit log. It refers to nothing: what it tells of may be gone. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("audit_events")
    .addColumn("seq", "integer", (column) => column.primaryKey())
    .addColumn("id", "text", (column) => column.notNull().unique())
    .addColumn("at", "bigint", (column) => column.notNull())
    .addColumn("user_id", "text")
    .addColumn("email", "text")
    .addColumn("token_id", "text")
    .addColumn("app_id", "text")
    .addColumn("app_name", "text")
    .addColumn("type", "text", (column) => column.notNull())
    .addColumn("action", "text", (column) => column.notNull())
    .addColumn("outcome", "text", (column) => column.notNull())
    .addColumn("method", "text", (column) => column.notNull())
    .addColumn("path", "text", (column) => column.notNull())
    .addColumn("address", "text")
    .addColumn("agent", "text")
    .addColumn("request_id", "text", (column) => column.notNull())
    .addColumn("data", "text", (column) => column.notNull())
    .execute();
  await db.schema.createIndex("audit_events_of_app").on("audit_events").columns(["app_id", "seq"]).execute();
  await db.schema.createIndex("audit_events_by_age").on("audit_events").column("at").execute();
}
