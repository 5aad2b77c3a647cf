import { randomUUID } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { setImmediate as turn } from "node:timers/promises";

/** A database that a test can look into while a store has it open. */
export function sharedDatabasePath(): string {
  return `file:/${randomUUID()}?vfs=memdb`;
}

/** Not what a caller changes: the log of callers (but for what it calls done), and the notes that webhooks are made of. */
const UNTOLD = new Set(["audit_events", "webhook_outbox"]);

/** Tells of every row of a store that was written, removed or changed: by triggers, so that nothing is too small. */
export class Changes implements Disposable {
  readonly #database: DatabaseSync;
  #seen = 0;

  constructor(path: string) {
    this.#database = new DatabaseSync(path, { timeout: 0 });
    this.#database.exec("create table changes (what text)");
    for (const table of this.#tables()) {
      if (UNTOLD.has(table)) continue;
      const told = (event: string, row: string) =>
        `create trigger changes_${table}_${row}${event.slice(0, 6)} after ${event} on ${table}
         begin insert into changes values ('${event.slice(0, 6)} ${table} ' || ${row}.rowid); end`;
      const columns = this.#columns(table).filter((name) => name !== "last_used_at");
      for (const text of [told("insert", "new"), told(`update of ${columns.join(", ")}`, "new"), told("delete", "old")])
        this.#database.exec(text.replace("update of rowid", "update"));
    }
    this.#database.exec(
      `create trigger changes_audit after insert on audit_events when new.outcome = 'done' and new.method <> 'GET' and new.type <> 'git' and new.action <> 'read'
       begin insert into changes values ('told ' || new.type || ' ' || new.action); end`,
    );
  }

  /** What was changed since it was asked last. */
  async since(): Promise<readonly string[]> {
    for (;;) {
      try {
        const rows = this.#database.prepare("select rowid, what from changes where rowid > ?").all(this.#seen);
        this.#seen = Number(rows.at(-1)?.["rowid"] ?? this.#seen);
        return rows.map(({ what }) => String(what));
      } catch (error) {
        if ((error as { readonly errcode?: number }).errcode !== 5) throw error;
        await turn(); // a transaction is open
      }
    }
  }

  /** Every value of a column, of all tables that have it. */
  valuesOf(column: string): readonly { readonly table: string; readonly value: unknown }[] {
    return this.#tables()
      .filter((table) => this.#columns(table).includes(column))
      .flatMap((table) =>
        this.#database
          .prepare(`select distinct "${column}" as value from ${table}`)
          .all()
          .map(({ value }) => ({ table, value })),
      );
  }

  #tables(): readonly string[] {
    const sql = "select name from sqlite_master where type = 'table' and name not in ('changes', 'sqlite_sequence')";
    return this.#database
      .prepare(sql)
      .all()
      .map(({ name }) => String(name));
  }

  #columns(table: string): readonly string[] {
    return this.#database
      .prepare(`select name from pragma_table_info('${table}')`)
      .all()
      .map(({ name }) => String(name));
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}
