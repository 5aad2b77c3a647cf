import { type Kysely, sql } from "kysely";

/**
 * Who may do what: operators, people who were suspended or left, and collaborators of apps. A team will be a user too, of a kind
 * of its own, as at Heroku, where `team@herokumanager.com` owns a team's apps: so owners and collaborators are users, always.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const flag = (name: string) =>
    db.schema
      .alterTable("users")
      .addColumn(name, "integer", (column) => column.notNull().defaultTo(0))
      .execute();
  const instant = (name: string) => db.schema.alterTable("users").addColumn(name, "bigint").execute();
  await db.schema
    .alterTable("users")
    .addColumn("kind", "text", (column) => column.notNull().defaultTo("person"))
    .execute();
  for (const name of ["operator", "allow_tracking", "beta"]) await flag(name);
  for (const name of ["suspended_at", "removed_at"]) await instant(name);
  await sql`update users set operator = 1 where id in (select value from meta where name = 'owner')`.execute(db);
  await db.schema
    .createTable("collaborators")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("app_id", "text", (column) => column.notNull().references("apps.id").onDelete("cascade"))
    .addColumn("user_id", "text", (column) => column.notNull().references("users.id").onDelete("cascade"))
    .addColumn("permissions", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .addUniqueConstraint("collaborators_once", ["app_id", "user_id"])
    .execute();
  await db.schema.createIndex("collaborators_of_user").on("collaborators").column("user_id").execute();
  await db.schema.createIndex("apps_of_owner").on("apps").column("owner_id").execute();
}
