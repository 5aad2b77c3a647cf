import { type Kysely, sql } from "kysely";

/**
 * Webhooks of apps, what changed (the outbox, which `outbox.ts` lets the database fill), events, and their deliveries. None of them
 * refers to `apps`: a webhook is told of its app's end too.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("webhooks")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("app_id", "text", (column) => column.notNull())
    .addColumn("seq", "integer", (column) => column.notNull())
    .addColumn("include", "text", (column) => column.notNull())
    .addColumn("level", "text", (column) => column.notNull())
    .addColumn("sealed", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .execute();
  await db.schema
    .createTable("webhook_outbox")
    .addColumn("seq", "integer", (column) => column.primaryKey().autoIncrement())
    .addColumn("app_id", "text", (column) => column.notNull())
    .addColumn("kind", "text", (column) => column.notNull())
    .addColumn("action", "text", (column) => column.notNull())
    .addColumn("row", "text", (column) => column.notNull())
    .addColumn("before", "text")
    .addColumn("actor_id", "text")
    .addColumn("at", "bigint")
    .execute();
  await db.schema
    .createTable("webhook_events")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("app_id", "text", (column) => column.notNull())
    .addColumn("seq", "integer", (column) => column.notNull().unique())
    .addColumn("include", "text", (column) => column.notNull())
    .addColumn("payload", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .execute();
  await db.schema
    .createTable("webhook_deliveries")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("app_id", "text", (column) => column.notNull())
    .addColumn("seq", "integer", (column) => column.notNull().unique())
    .addColumn("event_id", "text", (column) => column.notNull().references("webhook_events.id").onDelete("cascade"))
    .addColumn("webhook_id", "text", (column) => column.notNull().references("webhooks.id").onDelete("cascade"))
    .addColumn("level", "text", (column) => column.notNull())
    .addColumn("status", "text", (column) => column.notNull())
    .addColumn("attempts", "integer", (column) => column.notNull())
    .addColumn("next_attempt_at", "bigint")
    .addColumn("last_attempt", "text")
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .execute();
  const index = (name: string, table: string, columns: string[]) =>
    db.schema.createIndex(name).on(table).columns(columns).execute();
  await index("webhooks_of_app", "webhooks", ["app_id"]);
  await index("webhook_events_of_app", "webhook_events", ["app_id", "seq"]);
  await index("webhook_events_by_age", "webhook_events", ["created_at"]);
  await index("webhook_deliveries_of_app", "webhook_deliveries", ["app_id", "seq"]);
  await index("webhook_deliveries_of_event", "webhook_deliveries", ["event_id"]);
  // Nearly all have been made: looking for those that have not must not look at the others.
  await sql`create index webhook_deliveries_due on webhook_deliveries (webhook_id, next_attempt_at)
    where next_attempt_at is not null`.execute(db);
}
