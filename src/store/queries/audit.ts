import type { AuditEvent, NewAuditEvent } from "../../model/audit.ts";
import type { AuditStore } from "../store.ts";
import type { AuditRow, Database } from "../tables.ts";
import { newId, type Work } from "../work.ts";

/** Rows that one transaction deletes: others must not wait for the rest. */
const PRUNED_AT_ONCE = 2000;

export function auditQueries(work: Work): AuditStore {
  return {
    add: (events) =>
      work.write(async (db) => {
        await insertAudit(work, db, ...events);
      }),
    list: ({ appId, from, to, order, limit }) =>
      work.read(async (db) => {
        let rows = db.selectFrom("audit_events").selectAll();
        if (appId !== undefined) rows = rows.where("app_id", "=", appId);
        if (from !== undefined) rows = rows.where("seq", ">=", from);
        if (to !== undefined) rows = rows.where("seq", "<=", to);
        return (await rows.orderBy("seq", order).limit(limit).execute()).map(eventOf);
      }),
    prune: (before) =>
      work.write(async (db) => {
        const old = db.selectFrom("audit_events").select("seq").where("at", "<", before).limit(PRUNED_AT_ONCE);
        const { numDeletedRows } = await db
          .deleteFrom("audit_events")
          .where("seq", "in", old)
          .executeTakeFirstOrThrow();
        return Number(numDeletedRows);
      }),
  };
}

/** Nothing of it is ever changed. */
export async function insertAudit(
  work: Pick<Work, "random">,
  db: Database,
  ...events: readonly NewAuditEvent[]
): Promise<void> {
  const { last } = await db
    .selectFrom("audit_events")
    .select((row) => row.fn.max("seq").as("last"))
    .executeTakeFirstOrThrow();
  for (const [at, event] of events.entries())
    await db
      .insertInto("audit_events")
      .values(rowOf(newId(work), (last ?? 0) + 1 + at, event))
      .execute();
}

function rowOf(id: string, seq: number, event: NewAuditEvent): AuditRow {
  return {
    seq,
    id,
    at: event.at,
    user_id: event.actor?.id ?? null,
    email: event.actor?.email ?? null,
    token_id: event.tokenId,
    app_id: event.app?.id ?? null,
    app_name: event.app?.name ?? null,
    type: event.type,
    action: event.action,
    outcome: event.outcome,
    method: event.method,
    path: event.path,
    address: event.address,
    agent: event.agent,
    request_id: event.requestId,
    data: JSON.stringify(event.data),
  };
}

function eventOf(row: AuditRow): AuditEvent {
  return {
    id: row.id,
    sequence: row.seq,
    at: row.at,
    actor: row.user_id === null ? null : { id: row.user_id, email: row.email ?? "" },
    tokenId: row.token_id,
    app: row.app_id === null ? null : { id: row.app_id, name: row.app_name ?? "" },
    type: row.type,
    action: row.action,
    outcome: row.outcome,
    method: row.method,
    path: row.path,
    address: row.address,
    agent: row.agent,
    requestId: row.request_id,
    data: JSON.parse(row.data) as Record<string, unknown>, // written above alone
  };
}
