import type { Kysely } from "kysely";

/** Release commands: where each release's stands, and how long an app's may run. Releases of before have run none. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable("releases").addColumn("phase", "text").execute();
  await db.schema
    .alterTable("apps")
    .addColumn("release_timeout", "integer", (column) => column.notNull().defaultTo(3600))
    .execute();
}
