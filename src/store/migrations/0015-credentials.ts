import type { Kysely } from "kysely";

/** What people and programs show to be let in: SSH keys, OAuth clients, and what their tokens need besides. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("ssh_keys")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("user_id", "text", (column) => column.notNull().references("users.id").onDelete("cascade"))
    .addColumn("public_key", "text", (column) => column.notNull())
    .addColumn("fingerprint", "text", (column) => column.notNull().unique())
    .addColumn("comment", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .execute();
  await db.schema.createIndex("ssh_keys_of_user").on("ssh_keys").column("user_id").execute();
  await db.schema
    .createTable("oauth_clients")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("user_id", "text", (column) => column.notNull().references("users.id").onDelete("cascade"))
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("redirect_uri", "text", (column) => column.notNull())
    .addColumn("sealed", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .execute();
  await db.schema.createIndex("oauth_clients_of_user").on("oauth_clients").column("user_id").execute();
  const tokens = () => db.schema.alterTable("tokens");
  await tokens()
    .addColumn("client_id", "text", (column) => column.references("oauth_clients.id").onDelete("cascade"))
    .execute();
  await tokens()
    .addColumn("session", "integer", (column) => column.notNull().defaultTo(0))
    .execute();
  await tokens().addColumn("issued_at", "bigint").execute();
  for (const name of ["refresh_hash", "refresh_redacted", "grant_hash"])
    await tokens().addColumn(name, "text").execute();
  await tokens().addColumn("grant_expires_at", "bigint").execute();
  for (const name of ["refresh_hash", "grant_hash"])
    await db.schema.createIndex(`tokens_${name}`).unique().on("tokens").column(name).execute();
}
