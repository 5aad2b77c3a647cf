import type { Kysely } from "kysely";

/** How large an app's repository was after the last push; null: nothing was pushed since this is known. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable("apps").addColumn("repo_bytes", "bigint").execute();
}
