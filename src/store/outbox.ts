import { sql } from "kysely";
import type { Instant } from "../lib/clock.ts";
import type { Database } from "./tables.ts";

/** A table of which webhooks are told. */
interface Watched {
  /** Those that an event needs of a row. */
  readonly columns: readonly string[];
  /** Those whose change is an update. */
  readonly told: readonly string[];
  /** Rows of which nobody is told; `ROW` stands for the row. */
  readonly unless?: string;
}

const WATCHED: Readonly<Record<string, Watched>> = {
  apps: {
    columns: ["id", "name", "owner_id", "maintenance", "stack", "isolation", "released_at", "created_at", "updated_at"],
    told: ["name", "owner_id", "maintenance", "stack", "isolation", "released_at"],
  },
  builds: {
    columns: [
      "id",
      "user_id",
      "status",
      "commit_hash",
      "source",
      "buildpacks",
      "slug_id",
      "release_id",
      "created_at",
      "updated_at",
    ],
    told: ["status", "slug_id", "release_id"],
  },
  releases: {
    columns: [
      "id",
      "version",
      "description",
      "status",
      "failure",
      "phase",
      "slug_id",
      "user_id",
      "created_at",
      "updated_at",
    ],
    told: ["status"],
  },
  formation: { columns: ["id", "type", "quantity", "size", "created_at", "updated_at"], told: ["quantity", "size"] },
  domains: {
    columns: ["id", "hostname", "kind", "sni_endpoint_id", "created_at", "updated_at"],
    told: ["hostname", "sni_endpoint_id"],
  },
  collaborators: {
    columns: ["id", "user_id", "permissions", "created_at", "updated_at"],
    told: ["permissions"],
  },
  sni_endpoints: {
    columns: ["id", "name", "automatic", "chain", "given", "created_at", "updated_at"],
    told: ["chain", "given", "automatic"],
  },
  dynos: {
    columns: [
      "id",
      "kind",
      "name",
      "type",
      "release_id",
      "size",
      "command",
      "state",
      "state_since",
      "created_at",
      "exit",
      "ready",
    ],
    told: ["state"],
    unless: "ROW.kind = 'build'",
  },
};

/**
 * Notes what changes of apps that have webhooks, in the transaction that changes it: by triggers, so that no way of writing can
 * forget it. They are made anew at each opening, after the migrations, whose changes are nobody's news.
 */
export class Outbox {
  /** Whether there may be webhooks; without, transactions have nothing to sign. */
  isUsed = false;

  async uninstall(db: Database): Promise<void> {
    const found = await sql<{ name: string }>`
      select name from sqlite_master where type = 'trigger' and name like ${`${PREFIX}%`}`.execute(db);
    for (const { name } of found.rows) await sql`drop trigger ${sql.ref(name)}`.execute(db);
  }

  async install(db: Database): Promise<void> {
    for (const [table, watched] of Object.entries(WATCHED)) {
      for (const text of triggersOf(table, watched)) await sql.raw(text).execute(db);
    }
    this.isUsed = (await db.selectFrom("webhooks").select("id").limit(1).executeTakeFirst()) !== undefined;
  }

  /** At the end of a transaction: who made its changes, and when. */
  async sign(db: Database, actorId: string | null, at: Instant): Promise<void> {
    if (!this.isUsed) return;
    await db.updateTable("webhook_outbox").set({ actor_id: actorId, at }).where("at", "is", null).execute();
  }
}

const PREFIX = "webhook_outbox_of_";

/** The names are ours, of the table above: nothing in this text is anybody else's. */
function triggersOf(table: string, { columns, told, unless = "0" }: Watched): readonly string[] {
  const appId = table === "apps" ? "id" : "app_id";
  const json = (row: string) => `json_object(${columns.map((each) => `'${each}', ${row}.${each}`).join(", ")})`;
  const trigger = (event: string, action: string, row: string, before: string, condition: string) =>
    `create trigger ${PREFIX}${table}_${action} after ${event} on ${table}
     when exists (select 1 from webhooks where app_id = ${row}.${appId}) and not (${unless.replaceAll("ROW", row)}) and ${condition}
     begin
       insert into webhook_outbox (app_id, kind, action, "row", "before")
       values (${row}.${appId}, '${table}', '${action}', ${json(row)}, ${before});
     end`;
  const changed = told.map((each) => `new.${each} is not old.${each}`).join(" or ");
  // What goes with its app is not told one by one.
  const isOwnEnd = table === "apps" ? "1" : "exists (select 1 from apps where id = old.app_id)";
  return [
    trigger("insert", "create", "new", "null", "1"),
    trigger("update", "update", "new", json("old"), `(${changed})`),
    trigger("delete", "destroy", "old", "null", isOwnEnd),
  ];
}
