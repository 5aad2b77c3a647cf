import type { ColumnDefinitionBuilder, Kysely } from "kysely";

/** How an app's dynos live: what was the same for all becomes a setting of each. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const add = (
    name: string,
    type: "text" | "integer",
    how: (column: ColumnDefinitionBuilder) => ColumnDefinitionBuilder,
  ) => db.schema.alterTable("apps").addColumn(name, type, how).execute();
  await add("rollout", "text", (column) => column.notNull().defaultTo("surge"));
  await add("boot_timeout", "integer", (column) => column.notNull().defaultTo(60));
  await add("stop_grace", "integer", (column) => column.notNull().defaultTo(30));
  await add("daily_cycling", "integer", (column) => column.notNull().defaultTo(0));
  await add("cycling_hour", "integer", (column) => column);
}
