import { type Kysely, sql } from "kysely";

/** Apps that sleep without requests: after how many minutes, and since when they do. Who may is asked every few seconds. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable("apps").addColumn("sleep_after", "integer").execute();
  await db.schema.alterTable("apps").addColumn("asleep_since", "bigint").execute();
  await sql`create index apps_that_sleep on apps (id) where sleep_after > 0`.execute(db);
  await sql`create index formation_of_eco on formation (app_id) where size = 'Eco'`.execute(db);
}
