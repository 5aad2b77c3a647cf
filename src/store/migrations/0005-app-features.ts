import type { Kysely } from "kysely";

/** Features of apps (spec 12) that somebody switched; what has no row is at its default. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("app_features")
    .addColumn("app_id", "text", (column) => column.notNull().references("apps.id").onDelete("cascade"))
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("enabled", "integer", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("app_features_name", ["app_id", "name"])
    .execute();
}
