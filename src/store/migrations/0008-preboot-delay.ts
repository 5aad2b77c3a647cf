import type { Kysely } from "kysely";

/** How long after the boot timeout requests move to the new web dynos, with the rollout `preboot`: was the same for all. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable("apps")
    .addColumn("preboot_delay", "integer", (column) => column.notNull().defaultTo(120))
    .execute();
}
