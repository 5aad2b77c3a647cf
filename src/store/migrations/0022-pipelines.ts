import type { Kysely } from "kysely";

/** Pipelines, the apps in them, and promotions from one app to others. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("pipelines")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("owner_id", "text", (column) => column.notNull().references("users.id"))
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .addUniqueConstraint("pipelines_name", ["owner_id", "name"])
    .execute();
  await db.schema
    .createTable("pipeline_couplings")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("pipeline_id", "text", (column) => column.notNull().references("pipelines.id").onDelete("cascade"))
    .addColumn("app_id", "text", (column) => column.notNull().unique().references("apps.id").onDelete("cascade"))
    .addColumn("stage", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .execute();
  // Apps and releases that were promoted may go; that they were promoted stays true.
  await db.schema
    .createTable("pipeline_promotions")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("pipeline_id", "text", (column) => column.notNull().references("pipelines.id").onDelete("cascade"))
    .addColumn("source_app_id", "text", (column) => column.notNull())
    .addColumn("source_release_id", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .execute();
  await db.schema
    .createTable("promotion_targets")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("promotion_id", "text", (column) =>
      column.notNull().references("pipeline_promotions.id").onDelete("cascade"),
    )
    .addColumn("app_id", "text", (column) => column.notNull())
    .addColumn("release_id", "text", (column) => column.notNull())
    .execute();
  await db.schema.createIndex("couplings_of_pipeline").on("pipeline_couplings").column("pipeline_id").execute();
  await db.schema.createIndex("targets_of_promotion").on("promotion_targets").column("promotion_id").execute();
}
