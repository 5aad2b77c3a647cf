import type { Kysely } from "kysely";

/** Isolation classes: the app's word, and the one that each release was made with. What was there before ran as containers. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const table of ["apps", "releases"])
    await db.schema
      .alterTable(table)
      .addColumn("isolation", "text", (column) => column.notNull().defaultTo("container"))
      .execute();
}
