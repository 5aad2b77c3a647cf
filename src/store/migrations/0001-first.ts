import type { CreateTableBuilder, Kysely } from "kysely";

/** The first tables: all that takes an app from a push to a dyno. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const table = (name: string) => db.schema.createTable(name);
  await table("meta")
    .addColumn("name", "text", (column) => column.primaryKey())
    .addColumn("value", "text", (column) => column.notNull())
    .execute();
  await dated(withId(table("users")))
    .addColumn("email", "text", (column) => column.notNull().unique())
    .addColumn("name", "text")
    .execute();
  await dated(withId(table("tokens")))
    .addColumn("user_id", "text", (column) => column.notNull().references("users.id").onDelete("cascade"))
    .addColumn("description", "text", (column) => column.notNull())
    .addColumn("scopes", "text", (column) => column.notNull())
    .addColumn("hash", "text", (column) => column.notNull().unique())
    .addColumn("redacted", "text", (column) => column.notNull())
    .addColumn("expires_at", "bigint")
    .execute();
  await table("uid_indexes")
    .addColumn("uid_index", "integer", (column) => column.primaryKey())
    .addColumn("app_id", "text", (column) => column.notNull().unique())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .execute();
  await dated(withId(table("apps")))
    .addColumn("name", "text", (column) => column.notNull().unique())
    .addColumn("owner_id", "text", (column) => column.notNull().references("users.id"))
    .addColumn("uid_index", "integer", (column) => column.notNull().unique().references("uid_indexes.uid_index"))
    .addColumn("maintenance", "integer", (column) => column.notNull())
    .addColumn("stack", "text", (column) => column.notNull())
    .addColumn("restart_policy", "text", (column) => column.notNull())
    .addColumn("current_release_id", "text")
    .addColumn("had_formation", "integer", (column) => column.notNull())
    .addColumn("released_at", "bigint")
    .execute();
  await table("app_config")
    .addColumn("app_id", "text", (column) => column.primaryKey().references("apps.id").onDelete("cascade"))
    .addColumn("sealed", "text", (column) => column.notNull())
    .execute();
  await ofApp(dated(withId(table("domains"))))
    .addColumn("hostname", "text", (column) => column.notNull().unique())
    .addColumn("kind", "text", (column) => column.notNull())
    .execute();
  await ofApp(withId(table("slugs")))
    .addColumn("digest", "text", (column) => column.notNull())
    .addColumn("size_bytes", "bigint", (column) => column.notNull())
    .addColumn("process_types", "text", (column) => column.notNull())
    .addColumn("stack", "text", (column) => column.notNull())
    .addColumn("commit_hash", "text")
    .addColumn("buildpack_description", "text")
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .execute();
  await ofApp(dated(withId(table("releases"))))
    .addColumn("version", "integer", (column) => column.notNull())
    .addColumn("description", "text", (column) => column.notNull())
    .addColumn("status", "text", (column) => column.notNull())
    .addColumn("failure", "text")
    .addColumn("slug_id", "text", (column) => column.references("slugs.id"))
    .addColumn("user_id", "text", (column) => column.notNull().references("users.id"))
    .addColumn("sealed", "text", (column) => column.notNull())
    .addUniqueConstraint("releases_version", ["app_id", "version"])
    .execute();
  await ofApp(dated(withId(table("builds"))))
    .addColumn("seq", "integer", (column) => column.notNull().unique())
    .addColumn("user_id", "text", (column) => column.notNull().references("users.id"))
    .addColumn("status", "text", (column) => column.notNull())
    .addColumn("commit_hash", "text")
    .addColumn("buildpack_description", "text")
    .addColumn("slug_id", "text", (column) => column.references("slugs.id"))
    .addColumn("release_id", "text", (column) => column.references("releases.id"))
    .execute();
  await ofApp(dated(withId(table("formation"))))
    .addColumn("type", "text", (column) => column.notNull())
    .addColumn("quantity", "integer", (column) => column.notNull())
    .addColumn("size", "text", (column) => column.notNull())
    .addColumn("scaling", "text")
    .addUniqueConstraint("formation_type", ["app_id", "type"])
    .execute();
  await ofApp(withId(table("dynos")))
    .addColumn("seq", "integer", (column) => column.notNull().unique())
    .addColumn("kind", "text", (column) => column.notNull())
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("type", "text", (column) => column.notNull())
    .addColumn("release_id", "text", (column) => column.notNull())
    .addColumn("size", "text", (column) => column.notNull())
    .addColumn("command", "text", (column) => column.notNull())
    .addColumn("state", "text", (column) => column.notNull())
    .addColumn("state_since", "bigint", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("launched_at", "bigint")
    .addColumn("stopping", "text")
    .addColumn("exit", "text")
    .addColumn("one_off", "text")
    .addColumn("sealed", "text")
    .addColumn("port", "integer")
    .execute();
  await ofApp(table("crashes"))
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("count", "integer", (column) => column.notNull())
    .addColumn("last_at", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("crashes_name", ["app_id", "name"])
    .execute();
  for (const name of ["domains", "slugs", "builds", "dynos"]) {
    await db.schema.createIndex(`${name}_of_app`).on(name).column("app_id").execute();
  }
  await db.schema.createIndex("tokens_of_user").on("tokens").column("user_id").execute();
}

function withId<T extends string, C extends string>(table: CreateTableBuilder<T, C>): CreateTableBuilder<T, C | "id"> {
  return table.addColumn("id", "text", (column) => column.primaryKey());
}

function dated<T extends string, C extends string>(
  table: CreateTableBuilder<T, C>,
): CreateTableBuilder<T, C | "created_at" | "updated_at"> {
  return table
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull());
}

function ofApp<T extends string, C extends string>(
  table: CreateTableBuilder<T, C>,
): CreateTableBuilder<T, C | "app_id"> {
  return table.addColumn("app_id", "text", (column) => column.notNull().references("apps.id").onDelete("cascade"));
}
