import type { Kysely } from "kysely";

/** What an app's owner says of the connections that its dynos open. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("egress_rules")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("app_id", "text", (column) => column.notNull().references("apps.id").onDelete("cascade"))
    .addColumn("action", "text", (column) => column.notNull())
    .addColumn("cidr", "text", (column) => column.notNull())
    .addColumn("port", "integer")
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .execute();
  await db.schema.createIndex("egress_rules_of_app").on("egress_rules").column("app_id").execute();
}
