import type { Kysely } from "kysely";

/** Scheduled dynos: when they are due, and what became of the times that were. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("schedules")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("app_id", "text", (column) => column.notNull().references("apps.id").onDelete("cascade"))
    .addColumn("source", "text", (column) => column.notNull())
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("command", "text", (column) => column.notNull())
    .addColumn("cron", "text", (column) => column.notNull())
    .addColumn("time_zone", "text", (column) => column.notNull())
    .addColumn("size", "text")
    .addColumn("concurrency", "text", (column) => column.notNull())
    .addColumn("enabled", "integer", (column) => column.notNull())
    .addColumn("decided_until", "bigint", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .addUniqueConstraint("schedules_name", ["app_id", "source", "name"])
    .execute();
  await db.schema
    .createTable("schedule_runs")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("schedule_id", "text", (column) => column.notNull().references("schedules.id").onDelete("cascade"))
    .addColumn("seq", "integer", (column) => column.notNull())
    .addColumn("due_at", "bigint")
    .addColumn("decided_at", "bigint", (column) => column.notNull())
    .addColumn("outcome", "text", (column) => column.notNull())
    .addColumn("count", "integer", (column) => column.notNull())
    .addColumn("reason", "text")
    .addColumn("dyno_id", "text", (column) => column.unique())
    .addColumn("dyno_name", "text")
    .addColumn("ended_at", "bigint")
    .addColumn("exit_status", "integer")
    .addUniqueConstraint("schedule_runs_order", ["schedule_id", "seq"])
    .execute();
}
