import type { DynoRecord, OneOff } from "../../model/dyno.ts";
import type { Numbered } from "../ended-dynos.ts";
import type { DynoStore } from "../store.ts";
import type { Database, DynoRow } from "../tables.ts";
import type { Work } from "../work.ts";
import { found, requireApp } from "./missing.ts";
import { noteEnd } from "./schedules.ts";

export function dynoQueries(work: Work): DynoStore {
  return {
    byId: (id) =>
      work.read(async (db) => {
        const row = await db.selectFrom("dynos").selectAll().where("id", "=", id).executeTakeFirst();
        return row && recordOf(work, row);
      }),
    list: (appId) => work.read((db) => atOnce(db, (own) => recordsOf(work, own, appId))),
    create: (record) =>
      work.write(async (db, touch) => {
        await requireApp(db, record.appId);
        const { last } = await db
          .selectFrom("dynos")
          .select((row) => row.fn.max("seq").as("last"))
          .executeTakeFirstOrThrow();
        const row = { ...rowOf(work, record), seq: (last ?? 0) + 1 };
        await db.insertInto("dynos").values(row).execute();
        touch(record.appId);
      }),
    update: (id, change) =>
      work.write(async (db, touch) => {
        const row = found(await db.selectFrom("dynos").selectAll().where("id", "=", id).executeTakeFirst(), "dyno");
        const { id: _id, app_id: _appId, ...columns } = rowOf(work, { ...recordOf(work, row), ...change });
        await db.updateTable("dynos").set(columns).where("id", "=", id).execute();
        work.endedDynos.forget(row.app_id, id);
        if (row.kind === "scheduler" && change.exit) await noteEnd(db, id, change.exit);
        touch(row.app_id);
      }),
    remove: (id) =>
      work.write(async (db, touch) => {
        const row = await db.deleteFrom("dynos").where("id", "=", id).returning(["app_id", "kind"]).executeTakeFirst();
        if (row) work.endedDynos.forget(row.app_id, id);
        if (row?.kind === "scheduler") await noteEnd(db, id, { at: work.clock.now(), status: null });
        if (row) touch(row.app_id);
      }),
    crashes: (appId) =>
      work.read(async (db) => {
        const rows = await db.selectFrom("crashes").selectAll().where("app_id", "=", appId).orderBy("name").execute();
        return rows.map(({ name, count, last_at }) => ({ name, count, lastAt: last_at }));
      }),
    setCrashes: (appId, { name, count, lastAt }) =>
      work.write(async (db, touch) => {
        await requireApp(db, appId);
        await db
          .insertInto("crashes")
          .values({ app_id: appId, name, count, last_at: lastAt })
          .onConflict((conflict) => conflict.columns(["app_id", "name"]).doUpdateSet({ count, last_at: lastAt }))
          .execute();
        touch(appId);
      }),
    clearCrashes: (appId, name) =>
      work.write(async (db, touch) => {
        const all = db.deleteFrom("crashes").where("app_id", "=", appId);
        await (name === undefined ? all : all.where("name", "=", name)).execute();
        touch(appId);
      }),
  };
}

/** Several reads between which nobody writes: there is one connection. */
function atOnce<T>(db: Database, body: (db: Database) => Promise<T>): Promise<T> {
  return db.isTransaction ? body(db) : db.connection().execute(body);
}

/** All of an app's, in the order in which they were made. */
async function recordsOf(work: Work, db: Database, appId: string): Promise<readonly DynoRecord[]> {
  const numbered = (row: DynoRow): Numbered => ({ seq: row.seq, record: recordOf(work, row) });
  const ofApp = db.selectFrom("dynos").where("app_id", "=", appId);
  const live = (await ofApp.selectAll().where("exit", "is", null).execute()).map(numbered);
  const ids = (await ofApp.select("id").where("exit", "is not", null).execute()).map(({ id }) => id);
  const known = work.endedDynos.of(appId);
  const unknown = ids.filter((id) => !known.has(id));
  const read = unknown.length === 0 ? [] : await ofApp.selectAll().where("id", "in", unknown).execute();
  const ended = [...ids.flatMap((id) => known.get(id) ?? []), ...read.map(numbered)];
  // What a transaction reads may be its own, and never come to be.
  if (!db.isTransaction && (unknown.length > 0 || known.size > ids.length)) work.endedDynos.keep(appId, ended);
  return [...ended, ...live].toSorted((a, b) => a.seq - b.seq).map(({ record }) => record);
}

/** The environment of a call is kept until its dyno has ended; none need not be sealed, nor opened at each look. */
function rowOf(work: Work, record: DynoRecord): Omit<DynoRow, "seq"> {
  const { env, ...oneOff } = record.oneOff ?? { env: {} };
  const isNeeded = record.exit === null && Object.keys(env).length > 0;
  return {
    id: record.id,
    app_id: record.appId,
    kind: record.kind,
    name: record.name,
    type: record.type,
    release_id: record.releaseId,
    size: record.size,
    command: record.command,
    state: record.state,
    state_since: record.stateSince,
    created_at: record.createdAt,
    launched_at: record.launchedAt,
    stopping: json(record.stopping),
    exit: json(record.exit),
    one_off: record.oneOff === null ? null : json(oneOff),
    sealed: isNeeded ? work.secrets.seal(JSON.stringify(env), placeOf(record.id)) : null,
    port: record.port,
    ready: record.ready === false ? 0 : 1,
  };
}

function recordOf(work: Work, row: DynoRow): DynoRecord {
  return {
    id: row.id,
    appId: row.app_id,
    kind: row.kind,
    name: row.name,
    type: row.type,
    releaseId: row.release_id,
    size: row.size,
    command: row.command,
    state: row.state,
    stateSince: row.state_since,
    createdAt: row.created_at,
    launchedAt: row.launched_at,
    // The casts hold because `rowOf` alone writes these columns.
    stopping: parsed(row.stopping) as DynoRecord["stopping"],
    exit: parsed(row.exit) as DynoRecord["exit"],
    oneOff: oneOffOf(work, row),
    port: row.port,
    ...(row.ready === 0 && { ready: false }),
  };
}

function oneOffOf(work: Work, row: DynoRow): OneOff | null {
  if (row.one_off === null) return null;
  const env = row.sealed === null ? {} : parsed(work.secrets.open(row.sealed, placeOf(row.id)));
  return { ...(parsed(row.one_off) as Omit<OneOff, "env">), env: env as OneOff["env"] };
}

function placeOf(id: string): string {
  return `dynos/${id}`;
}

function json(value: object | null): string | null {
  return value === null ? null : JSON.stringify(value);
}

function parsed(text: string | null): unknown {
  return text === null ? null : JSON.parse(text);
}
