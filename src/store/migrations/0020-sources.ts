import type { Kysely } from "kysely";

/** Builds from archives, and slugs that were built elsewhere. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable("builds").addColumn("source", "text").execute();
  await db.schema.alterTable("builds").addColumn("buildpacks", "text").execute();
  await db.schema.alterTable("slugs").addColumn("commit_description", "text").execute();
  await db.schema.alterTable("slugs").addColumn("checksum", "text").execute();
  await db.schema
    .createTable("slug_uploads")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("app_id", "text", (column) => column.notNull().references("apps.id").onDelete("cascade"))
    .addColumn("process_types", "text", (column) => column.notNull())
    .addColumn("stack", "text", (column) => column.notNull())
    .addColumn("commit_hash", "text")
    .addColumn("commit_description", "text")
    .addColumn("buildpack_description", "text")
    .addColumn("checksum", "text")
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .execute();
  await db.schema.createIndex("slug_uploads_of_app").on("slug_uploads").column("app_id").execute();
}
