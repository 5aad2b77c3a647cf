import type { Kysely } from "kysely";

/** Health checks that were given through the API, and which dynos fail their readiness. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("health_checks")
    .addColumn("app_id", "text", (column) => column.notNull().references("apps.id").onDelete("cascade"))
    .addColumn("type", "text", (column) => column.notNull())
    .addColumn("checks", "text", (column) => column.notNull())
    .addPrimaryKeyConstraint("health_checks_type", ["app_id", "type"])
    .execute();
  await db.schema
    .alterTable("dynos")
    .addColumn("ready", "integer", (column) => column.notNull().defaultTo(1))
    .execute();
}
