import type { Selectable } from "kysely";
import { PlatformError } from "../../model/errors.ts";
import { WEBHOOK_EVENTS_KEPT, WEBHOOKS_MAX } from "../../model/webhook.ts";
import type {
  ChangedRow,
  DeliveryAttempt,
  NotedChange,
  Webhook,
  WebhookDelivery,
  WebhookEvent,
  WebhookSettings,
  WebhookStore,
} from "../store.ts";
import type { Database, OutboxRow, WebhookDeliveryRow, WebhookEventRow, WebhookRow } from "../tables.ts";
import { newId, type Work } from "../work.ts";
import { found, requireApp } from "./missing.ts";

export function webhookQueries(work: Work): WebhookStore {
  return {
    areUsed: () => work.outbox.isUsed,
    list: (appId) => work.read(async (db) => (await rowsOf(db, appId)).map((row) => webhookOf(work, row))),
    byId: (id) =>
      work.read(async (db) => {
        const row = await db.selectFrom("webhooks").selectAll().where("id", "=", id).executeTakeFirst();
        return row && webhookOf(work, row);
      }),
    create: ({ appId, ...settings }) =>
      work.write(async (db, touch) => {
        await requireApp(db, appId);
        const before = await rowsOf(db, appId);
        if (before.length >= WEBHOOKS_MAX)
          throw new PlatformError("invalid_params", `The app has ${WEBHOOKS_MAX} webhooks already; remove one first.`);
        const now = work.clock.now();
        const id = newId(work);
        const row: WebhookRow = {
          id,
          app_id: appId,
          seq: (before.at(-1)?.seq ?? 0) + 1,
          ...columnsOf(work, id, settings),
          created_at: now,
          updated_at: now,
        };
        await db.insertInto("webhooks").values(row).execute();
        work.outbox.isUsed = true;
        touch(appId);
        return webhookOf(work, row);
      }),
    update: (id, change) =>
      work.write(async (db, touch) => {
        const before = found(
          await db.selectFrom("webhooks").selectAll().where("id", "=", id).executeTakeFirst(),
          "webhook",
        );
        const columns = columnsOf(work, id, { ...webhookOf(work, before), ...change });
        const row = await db
          .updateTable("webhooks")
          .set({ ...columns, updated_at: work.clock.now() })
          .where("id", "=", id)
          .returningAll()
          .executeTakeFirstOrThrow();
        touch(row.app_id);
        return webhookOf(work, row);
      }),
    remove: (id) =>
      work.write(async (db, touch) => {
        const row = await db.deleteFrom("webhooks").where("id", "=", id).returning("app_id").executeTakeFirst();
        if (row) touch(row.app_id);
      }),
    noted: (count) =>
      work.read(async (db) => {
        const rows = db.selectFrom("webhook_outbox").selectAll().where("at", "is not", null).orderBy("seq");
        return (await rows.limit(count).execute()).map(changeOf);
      }),
    publish: ({ seq, appId }, events) =>
      work.write(async (db) => {
        for (const event of events) await insertEvent(work, db, appId, event);
        await db.deleteFrom("webhook_outbox").where("seq", "=", seq).execute();
      }),
    events: (appId) =>
      work.read(async (db) => {
        const rows = db.selectFrom("webhook_events").selectAll().where("app_id", "=", appId);
        return (await rows.orderBy("seq", "desc").limit(WEBHOOK_EVENTS_KEPT).execute()).map(eventOf);
      }),
    event: (id) =>
      work.read(async (db) => {
        const row = await db.selectFrom("webhook_events").selectAll().where("id", "=", id).executeTakeFirst();
        return row && eventOf(row);
      }),
    deliveries: (appId) =>
      work.read(async (db) => {
        const rows = joined(db).where("webhook_deliveries.app_id", "=", appId);
        return (await rows.orderBy("webhook_deliveries.seq", "desc").execute()).map(deliveryOf);
      }),
    due: () =>
      work.read(async (db) => {
        const rows = await db
          .selectFrom("webhook_deliveries")
          .select((row) => ["webhook_id", row.fn.min("next_attempt_at").as("at")])
          .where("next_attempt_at", "is not", null)
          .groupBy("webhook_id")
          .execute();
        return new Map(rows.map(({ webhook_id, at }) => [webhook_id, at ?? 0]));
      }),
    next: (webhookId) =>
      work.read(async (db) => {
        const open = joined(db).where("webhook_id", "=", webhookId).where("next_attempt_at", "is not", null);
        const row = await open.orderBy("next_attempt_at").orderBy("webhook_deliveries.seq").limit(1).executeTakeFirst();
        return row && deliveryOf(row);
      }),
    attempted: (deliveryId, attempt, { status, nextAttemptAt }) =>
      work.write(async (db) => {
        const last: DeliveryAttempt = { id: newId(work), ...attempt };
        await db
          .updateTable("webhook_deliveries")
          .set((row) => ({
            status,
            attempts: row("attempts", "+", 1),
            next_attempt_at: nextAttemptAt,
            last_attempt: JSON.stringify(last),
            updated_at: work.clock.now(),
          }))
          .where("id", "=", deliveryId)
          .execute();
      }),
    sweep: (olderThan) => work.write((db) => sweep(db, olderThan)),
  };
}

function rowsOf(db: Database, appId: string): Promise<WebhookRow[]> {
  return db.selectFrom("webhooks").selectAll().where("app_id", "=", appId).orderBy("seq").execute();
}

async function insertEvent(
  work: Work,
  db: Database,
  appId: string,
  { include, payload }: Pick<WebhookEvent, "include" | "payload">,
): Promise<void> {
  const wanting = (await rowsOf(db, appId)).filter((row) => includeOf(row).includes(include));
  if (wanting.length === 0) return;
  const now = work.clock.now();
  const event: WebhookEventRow = {
    id: newId(work),
    app_id: appId,
    seq: await nextSeq(db, "webhook_events"),
    include,
    payload: JSON.stringify(payload),
    created_at: now,
  };
  await db.insertInto("webhook_events").values(event).execute();
  for (const { id, level } of wanting) {
    const row: WebhookDeliveryRow = {
      id: newId(work),
      app_id: appId,
      seq: await nextSeq(db, "webhook_deliveries"),
      event_id: event.id,
      webhook_id: id,
      level,
      status: "pending",
      attempts: 0,
      next_attempt_at: now,
      last_attempt: null,
      created_at: now,
      updated_at: now,
    };
    await db.insertInto("webhook_deliveries").values(row).execute();
  }
}

async function nextSeq(db: Database, table: "webhook_events" | "webhook_deliveries"): Promise<number> {
  const row = await db
    .selectFrom(table)
    .select((each) => each.fn.max("seq").as("last"))
    .executeTakeFirst();
  return (row?.last ?? 0) + 1;
}

async function sweep(db: Database, olderThan: number): Promise<void> {
  await db.deleteFrom("webhook_events").where("created_at", "<", olderThan).execute();
  const apps = await db.selectFrom("webhooks").select("app_id").distinct().execute();
  for (const { app_id } of apps) {
    const events = db.selectFrom("webhook_events").select("seq").where("app_id", "=", app_id);
    const oldest = await events.orderBy("seq", "desc").offset(WEBHOOK_EVENTS_KEPT).limit(1).executeTakeFirst();
    if (oldest)
      await db.deleteFrom("webhook_events").where("app_id", "=", app_id).where("seq", "<=", oldest.seq).execute();
    if (await db.selectFrom("apps").select("id").where("id", "=", app_id).executeTakeFirst()) continue;
    const isNoted = await db.selectFrom("webhook_outbox").select("seq").where("app_id", "=", app_id).executeTakeFirst();
    const open = db.selectFrom("webhook_deliveries").select("id").where("app_id", "=", app_id);
    if (isNoted || (await open.where("next_attempt_at", "is not", null).executeTakeFirst())) continue;
    await db.deleteFrom("webhooks").where("app_id", "=", app_id).execute();
    await db.deleteFrom("webhook_events").where("app_id", "=", app_id).execute();
  }
}

function columnsOf(work: Work, id: string, { include, level, url, secret, authorization }: WebhookSettings) {
  return {
    include: JSON.stringify(include),
    level,
    sealed: work.secrets.seal(JSON.stringify({ url, secret, authorization }), `webhooks/${id}`),
  };
}

function includeOf({ include }: WebhookRow): Webhook["include"] {
  return JSON.parse(include) as Webhook["include"]; // only `columnsOf` writes it
}

function webhookOf(work: Work, row: WebhookRow): Webhook {
  const sealed = work.secrets.open(row.sealed, `webhooks/${row.id}`);
  return {
    id: row.id,
    appId: row.app_id,
    include: includeOf(row),
    level: row.level,
    ...(JSON.parse(sealed) as Pick<WebhookSettings, "url" | "secret" | "authorization">), // only `columnsOf` writes it
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

function changeOf({ seq, app_id, kind, action, row, before, actor_id, at }: Selectable<OutboxRow>): NotedChange {
  return {
    seq,
    appId: app_id,
    kind,
    action,
    row: JSON.parse(row) as ChangedRow, // only the triggers write it, of columns of texts and numbers
    before: before === null ? null : (JSON.parse(before) as ChangedRow),
    actorId: actor_id,
    at: at ?? 0,
  };
}

function eventOf({ id, app_id, seq, include, payload, created_at }: WebhookEventRow): WebhookEvent {
  return {
    id,
    appId: app_id,
    seq,
    include,
    payload: JSON.parse(payload) as WebhookEvent["payload"], // only `insertEvent` writes it
    createdAt: created_at,
  };
}

function joined(db: Database) {
  return db
    .selectFrom("webhook_deliveries")
    .innerJoin("webhook_events", "webhook_events.id", "webhook_deliveries.event_id")
    .selectAll("webhook_deliveries")
    .select("webhook_events.include");
}

function deliveryOf(row: WebhookDeliveryRow & Pick<WebhookEventRow, "include">): WebhookDelivery {
  return {
    id: row.id,
    appId: row.app_id,
    seq: row.seq,
    event: { id: row.event_id, include: row.include },
    webhookId: row.webhook_id,
    level: row.level,
    status: row.status,
    attempts: row.attempts,
    nextAttemptAt: row.next_attempt_at,
    lastAttempt: row.last_attempt === null ? null : (JSON.parse(row.last_attempt) as DeliveryAttempt), // only `attempted` writes it
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
