import { randomBytes } from "node:crypto";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import {
  type DialectAdapter,
  Kysely,
  type SqliteDatabase,
  SqliteDriver,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from "kysely";
import type { Clock } from "../lib/clock.ts";
import { databaseStore } from "./database-store.ts";
import { migrate } from "./migrate.ts";
import { MIGRATIONS } from "./migrations/list.ts";
import { Outbox } from "./outbox.ts";
import { type RandomBytes, Secrets } from "./secrets.ts";
import type { Store } from "./store.ts";
import type { Database, Tables } from "./tables.ts";

export interface StoreOptions {
  /** A file, or `:memory:`. */
  readonly path: string;
  /** What `openKeyFile` gave: the newest key first. */
  readonly key: readonly Uint8Array[];
  readonly clock: Clock;
  /** Random bytes for ids, tokens and nonces (default: the system's). */
  readonly random?: RandomBytes;
}

/**
 * Opens the database, made or brought up to date first. Throws a sentence when it is of a newer version, or sealed with a
 * key that is not given. This file is all that knows SQLite.
 */
export async function openStore({ path, key, clock, random = randomBytes }: StoreOptions): Promise<Store> {
  const secrets = new Secrets(key, random);
  const db = openDatabase(path);
  const outbox = new Outbox();
  try {
    await outbox.uninstall(db);
    await migrate(db, MIGRATIONS);
    await outbox.install(db);
    await checkKey(db, secrets);
  } catch (error) {
    await db.destroy();
    throw error;
  }
  return databaseStore({ db, secrets, clock, random, outbox });
}

/** A lost key must be told at once, not at the first config var somebody needs. */
async function checkKey(db: Database, secrets: Secrets): Promise<void> {
  const name = "key-check";
  const row = await db.selectFrom("meta").select("value").where("name", "=", name).executeTakeFirst();
  if (!row) {
    await db
      .insertInto("meta")
      .values({ name, value: secrets.seal(name, `meta/${name}`) })
      .execute();
    return;
  }
  try {
    secrets.open(row.value, `meta/${name}`);
  } catch (cause) {
    throw new Error("The key file is not the one this database was made with: restore it from a backup.", { cause });
  }
}

/** One connection with what every query relies on: foreign keys, and commits that survive the power. */
export function openDatabase(path: string): Database {
  const database = new DatabaseSync(path, { enableForeignKeyConstraints: true, timeout: 10_000 });
  // FULL: a commit that was answered is on disk, also when the power fails (in WAL mode NORMAL would not do).
  database.exec("pragma journal_mode = wal; pragma synchronous = full; pragma trusted_schema = off;");
  return new Kysely<Tables>({
    dialect: {
      createDriver: () => new OneConnection({ database: adapted(database) }),
      createQueryCompiler: () => new SqliteQueryCompiler(),
      createIntrospector: (db) => new SqliteIntrospector(db),
      createAdapter: () => ADAPTER,
    },
  });
}

/**
 * The connection is for one at a time, and goes to who has waited longest. Kysely's own lock wakes all who wait each time it is
 * free: with a thousand waiting, each query cost a thousand.
 */
class OneConnection extends SqliteDriver {
  readonly #waiting: (() => void)[] = [];
  #isTaken = false;

  override async acquireConnection(): ReturnType<SqliteDriver["acquireConnection"]> {
    if (this.#isTaken) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#isTaken = true;
    return super.acquireConnection();
  }

  override async releaseConnection(): Promise<void> {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#isTaken = false;
  }
}

/** Kysely's own says that SQLite cannot change its schema in a transaction. It can, so a step is done or not done. */
const ADAPTER: DialectAdapter = {
  supportsCreateIfNotExists: true,
  supportsMultipleConnections: true, // so far as Kysely's lock goes: `OneConnection` has another
  supportsTransactionalDdl: true,
  supportsReturning: true,
  supportsOutput: false,
  acquireMigrationLock: async () => {}, // there is one connection
  releaseMigrationLock: async () => {},
};

/** What Kysely's driver expects of a database, over Node's. */
function adapted(database: DatabaseSync): SqliteDatabase {
  const cache = new StatementCache(database);
  return {
    close: () => database.close(),
    prepare: (sql) => {
      const { statement, reader } = cache.prepare(sql);
      return {
        reader,
        all: (parameters) => statement.all(...bound(parameters)),
        run: (parameters) => statement.run(...bound(parameters)),
        iterate: (parameters) => statement.iterate(...bound(parameters)),
      };
    },
  };
}

/** Kysely gives parameters as `unknown`; the columns' types of `tables.ts` are all that SQLite takes. */
function bound(parameters: readonly unknown[]): SQLInputValue[] {
  return parameters as SQLInputValue[];
}

interface Prepared {
  readonly statement: StatementSync;
  /** Whether it gives rows. */
  readonly reader: boolean;
}

/** Statements by their text: the queries are few and the same for ever. */
class StatementCache {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, Prepared>();

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  prepare(sql: string): Prepared {
    const known = this.#statements.get(sql);
    if (known) return known;
    const statement = this.#database.prepare(sql);
    const prepared = { statement, reader: statement.columns().length > 0 };
    if (!/^(select|insert|update|delete) /i.test(sql)) return prepared; // a change of schema
    if (this.#statements.size >= STATEMENTS_MAX) this.#statements.clear();
    this.#statements.set(sql, prepared);
    return prepared;
  }
}

const STATEMENTS_MAX = 500;
