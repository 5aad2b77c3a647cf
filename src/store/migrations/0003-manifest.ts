import type { Kysely } from "kysely";

/** What an app's `app.json` asks of the platform goes with its slug. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable("slugs").addColumn("manifest", "text").execute();
}
