import { sql } from "kysely";
import { type Migration, Migrator } from "kysely/migration";
import type { Database } from "./tables.ts";

const TABLE = "kysely_migration";

/** Brings the schema up to date: all of a step or nothing of it. Throws a sentence when the database is newer than the program. */
export async function migrate(db: Database, migrations: Readonly<Record<string, Migration>>): Promise<void> {
  const unknown = (await appliedSteps(db)).filter((name) => !(name in migrations));
  if (unknown.length > 0) {
    throw new Error(
      `The database was written by a newer version of Stator (it has ${unknown.join(", ")}): start that version again.`,
    );
  }
  const migrator = new Migrator({
    db,
    migrationTableName: TABLE,
    provider: { getMigrations: async () => ({ ...migrations }) },
  });
  const { error } = await migrator.migrateToLatest();
  if (error !== undefined) throw new Error("The database could not be brought up to date.", { cause: error });
}

async function appliedSteps(db: Database): Promise<readonly string[]> {
  const tables = await db.introspection.getTables({ withInternalKyselyTables: true });
  if (!tables.some(({ name }) => name === TABLE)) return [];
  const { rows } = await sql<{ name: string }>`select name from ${sql.table(TABLE)}`.execute(db);
  return rows.map(({ name }) => name);
}
