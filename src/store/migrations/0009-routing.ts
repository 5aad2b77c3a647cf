import type { Kysely } from "kysely";

/** How the router treats an app's requests; an app without a row is at the defaults. And who may come into it. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("app_routing")
    .addColumn("app_id", "text", (column) => column.primaryKey().references("apps.id").onDelete("cascade"))
    .addColumn("balance", "text", (column) => column.notNull())
    .addColumn("dyno_protocol", "text", (column) => column.notNull())
    .addColumn("https_redirect", "integer", (column) => column.notNull())
    .addColumn("first_byte_timeout", "integer", (column) => column.notNull())
    .addColumn("rolling_timeout", "integer", (column) => column.notNull())
    .execute();
  await db.schema
    .createTable("basic_auth_users")
    .addColumn("app_id", "text", (column) => column.notNull().references("apps.id").onDelete("cascade"))
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("sealed", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("basic_auth_users_name", ["app_id", "name"])
    .execute();
}
