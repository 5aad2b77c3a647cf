import type { Kysely } from "kysely";

/** Offers of apps from one account to another, and what was switched on or off for accounts. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("app_transfers")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("app_id", "text", (column) => column.notNull().unique().references("apps.id").onDelete("cascade"))
    .addColumn("owner_id", "text", (column) => column.notNull().references("users.id"))
    .addColumn("recipient_id", "text", (column) => column.notNull().references("users.id"))
    .addColumn("state", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .execute();
  await db.schema.createIndex("app_transfers_from").on("app_transfers").column("owner_id").execute();
  await db.schema.createIndex("app_transfers_to").on("app_transfers").column("recipient_id").execute();
  await db.schema
    .createTable("account_features")
    .addColumn("user_id", "text", (column) => column.notNull().references("users.id").onDelete("cascade"))
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("enabled", "integer", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("account_features_key", ["user_id", "name"])
    .execute();
}
