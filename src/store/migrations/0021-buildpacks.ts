import type { Kysely } from "kysely";

/** The buildpacks that an app's owner chose, in the order in which they compile. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("buildpack_installations")
    .addColumn("app_id", "text", (column) => column.notNull().references("apps.id").onDelete("cascade"))
    .addColumn("ordinal", "integer", (column) => column.notNull())
    .addColumn("url", "text", (column) => column.notNull())
    .addColumn("name", "text", (column) => column.notNull())
    .addPrimaryKeyConstraint("buildpack_installations_ordinal", ["app_id", "ordinal"])
    .execute();
}
