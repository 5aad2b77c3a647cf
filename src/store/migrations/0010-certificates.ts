import type { Kysely } from "kysely";

/** Certificates of apps: uploaded, or got by ACME; and what must be remembered of orders. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("sni_endpoints")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("app_id", "text", (column) => column.notNull().references("apps.id").onDelete("cascade"))
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("automatic", "integer", (column) => column.notNull())
    .addColumn("chain", "text", (column) => column.notNull())
    .addColumn("sealed", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .addUniqueConstraint("sni_endpoints_name", ["app_id", "name"])
    .execute();
  await db.schema
    .alterTable("domains")
    .addColumn("sni_endpoint_id", "text", (column) => column.references("sni_endpoints.id").onDelete("set null"))
    .execute();
  await db.schema.createIndex("domains_of_endpoint").on("domains").column("sni_endpoint_id").execute();
  await db.schema
    .createTable("acm_apps")
    .addColumn("app_id", "text", (column) => column.primaryKey().references("apps.id").onDelete("cascade"))
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .execute();
  await db.schema
    .createTable("acm_domains")
    .addColumn("domain_id", "text", (column) => column.primaryKey().references("domains.id").onDelete("cascade"))
    .addColumn("hostname", "text", (column) => column.notNull())
    .addColumn("status", "text", (column) => column.notNull())
    .addColumn("reason", "text")
    .addColumn("failures", "integer", (column) => column.notNull())
    .addColumn("next_at", "bigint", (column) => column.notNull())
    .addColumn("order_url", "text")
    .addColumn("sealed", "text")
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .execute();
  await db.schema
    .createTable("acme_accounts")
    .addColumn("directory", "text", (column) => column.primaryKey())
    .addColumn("sealed", "text", (column) => column.notNull())
    .addColumn("url", "text")
    .addColumn("paused_until", "bigint")
    .execute();
}
