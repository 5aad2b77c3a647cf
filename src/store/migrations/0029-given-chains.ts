import type { Kysely } from "kysely";

/** A certificate's chain as it was written, where that differs from what is used in blanks alone. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable("sni_endpoints").addColumn("given", "text").execute();
}
