import { storedManifest } from "../../model/app-manifest.ts";
import { PlatformError } from "../../model/errors.ts";
import { SCHEDULES_MAX } from "../../model/manifest-cron.ts";
import {
  RUNS_KEPT,
  type RunOutcome,
  type Schedule,
  type ScheduleRun,
  type ScheduleSettings,
  type ScheduleSource,
} from "../../model/schedule.ts";
import type { ScheduleStore } from "../store.ts";
import type { AppRow, Database, ScheduleRow, ScheduleRunRow } from "../tables.ts";
import { newId, type Work } from "../work.ts";
import { found } from "./missing.ts";

export function scheduleQueries(work: Work): ScheduleStore {
  return {
    list: (appId) => work.read(async (db) => (await rowsOf(db, appId)).map(scheduleOf)),
    listRunnable: () =>
      work.read(async (db) => {
        const rows = db
          .selectFrom("schedules")
          .innerJoin("apps", "apps.id", "schedules.app_id")
          .innerJoin("releases", "releases.id", "apps.current_release_id")
          .where("schedules.enabled", "=", 1)
          .where("releases.slug_id", "is not", null);
        return (await rows.selectAll("schedules").execute()).map(scheduleOf);
      }),
    create: ({ appId, ...settings }) =>
      work.write(async (db, touch) => {
        const own = (await rowsOf(db, appId)).filter(({ source }) => source === "api");
        if (own.length >= SCHEDULES_MAX)
          throw new PlatformError("invalid_params", `The app has ${own.length} schedules, and cannot have more.`);
        refuseTaken(settings.name, own);
        touch(appId);
        return scheduleOf(await insert(work, db, { appId, source: "api", settings }));
      }),
    update: (id, change) =>
      work.write(async (db, touch) => {
        const before = found(await rowById(db, id), "schedule");
        const others = (await rowsOf(db, before.app_id)).filter((row) => row.source === before.source && row.id !== id);
        if (change.name !== undefined) refuseTaken(change.name, others);
        touch(before.app_id);
        return scheduleOf(await changeRow(work, db, before, change));
      }),
    remove: (id) =>
      work.write(async (db, touch) => {
        const row = await db.deleteFrom("schedules").where("id", "=", id).returning("app_id").executeTakeFirst();
        if (row) touch(row.app_id);
      }),
    decided: (id, until) =>
      work.write(async (db) => {
        await db.updateTable("schedules").set({ decided_until: until }).where("id", "=", id).execute();
      }),
    runs: (scheduleId) =>
      work.read(async (db) => {
        const rows = db.selectFrom("schedule_runs").selectAll().where("schedule_id", "=", scheduleId);
        return (await rows.orderBy("seq", "desc").limit(RUNS_KEPT).execute()).map(runOf);
      }),
    latestRuns: (appId) =>
      work.read(async (db) => {
        const rows = db
          .selectFrom("schedule_runs")
          .innerJoin("schedules", "schedules.id", "schedule_runs.schedule_id")
          .where("schedules.app_id", "=", appId)
          .where((row) =>
            row.or([
              row(
                "schedule_runs.seq",
                "=",
                row
                  .selectFrom("schedule_runs as other")
                  .select((other) => other.fn.max("other.seq").as("seq"))
                  .whereRef("other.schedule_id", "=", "schedule_runs.schedule_id"),
              ),
              row.and([row("schedule_runs.outcome", "=", "started"), row("schedule_runs.ended_at", "is", null)]),
            ]),
          );
        return (await rows.selectAll("schedule_runs").orderBy("schedule_runs.seq", "desc").execute()).map(runOf);
      }),
    addRun: (run) => work.write((db) => insertRun(work, db, run)),
  };
}

/** Brings the schedules of `app.json` in line with the release that has become current; `app` is as it was before. */
export async function syncSchedules(work: Work, db: Database, app: AppRow, releaseId: string): Promise<void> {
  const slugs = db.selectFrom("slugs").innerJoin("releases", "releases.slug_id", "slugs.id").select("slugs.manifest");
  const slug = await slugs.where("releases.id", "=", releaseId).executeTakeFirst();
  const wanted = storedManifest(slug?.manifest ?? null).schedules;
  const rows = await rowsOf(db, app.id);
  if (wanted.length === 0 && rows.length === 0) return;
  const own = rows.filter(({ source }) => source === "app.json");
  for (const settings of wanted) {
    const row = own.find(({ name }) => name === settings.name);
    if (row === undefined) await insert(work, db, { appId: app.id, source: "app.json", settings });
    else await changeRow(work, db, row, settings);
  }
  const gone = own.filter(({ name }) => !wanted.some((each) => each.name === name)).map(({ id }) => id);
  if (gone.length > 0) await db.deleteFrom("schedules").where("id", "in", gone).execute();
  if (!(await hadCode(db, app))) {
    const now = work.clock.now(); // what was due before there was anything to run is not missed
    await db.updateTable("schedules").set({ decided_until: now }).where("app_id", "=", app.id).execute();
  }
}

async function hadCode(db: Database, app: AppRow): Promise<boolean> {
  if (app.current_release_id === null) return false;
  const release = db.selectFrom("releases").select("slug_id").where("id", "=", app.current_release_id);
  return (await release.executeTakeFirst())?.slug_id != null;
}

/** A scheduled dyno has ended: so has its run. */
export async function noteEnd(
  db: Database,
  dynoId: string,
  { at, status }: { readonly at: number; readonly status: number | null },
): Promise<void> {
  const run = db.updateTable("schedule_runs").set({ ended_at: at, exit_status: status });
  await run.where("dyno_id", "=", dynoId).where("ended_at", "is", null).execute();
}

interface NewSchedule {
  readonly appId: string;
  readonly source: ScheduleSource;
  readonly settings: ScheduleSettings;
}

async function insert(work: Work, db: Database, { appId, source, settings }: NewSchedule): Promise<ScheduleRow> {
  const now = work.clock.now();
  const row: ScheduleRow = {
    id: newId(work),
    app_id: appId,
    source,
    ...columnsOf(settings),
    decided_until: now,
    created_at: now,
    updated_at: now,
  };
  await db.insertInto("schedules").values(row).execute();
  return row;
}

/** Writes nothing when nothing changes, so that a deploy leaves a schedule as it is. */
async function changeRow(
  work: Work,
  db: Database,
  before: ScheduleRow,
  change: Partial<ScheduleSettings>,
): Promise<ScheduleRow> {
  const columns = columnsOf({ ...scheduleOf(before), ...change });
  const isSame = (Object.keys(columns) as (keyof typeof columns)[]).every((name) => columns[name] === before[name]);
  if (isSame) return before;
  const begins =
    columns.cron !== before.cron ||
    columns.time_zone !== before.time_zone ||
    (columns.enabled === 1 && before.enabled === 0);
  const now = work.clock.now();
  const after = { ...before, ...columns, updated_at: now, ...(begins && { decided_until: now }) };
  await db.updateTable("schedules").set(after).where("id", "=", before.id).execute();
  return after;
}

async function insertRun(work: Work, db: Database, run: Omit<ScheduleRun, "id">): Promise<ScheduleRun> {
  const own = db.selectFrom("schedule_runs").where("schedule_id", "=", run.scheduleId);
  const { last } = await own.select((row) => row.fn.max("seq").as("last")).executeTakeFirstOrThrow();
  const seq = (last ?? 0) + 1;
  const row: ScheduleRunRow = {
    id: newId(work),
    schedule_id: run.scheduleId,
    seq,
    due_at: run.dueAt,
    decided_at: run.decidedAt,
    ...outcomeColumns(run.outcome),
  };
  await db.insertInto("schedule_runs").values(row).execute();
  // Those that still run are needed to know that they do.
  const old = db.deleteFrom("schedule_runs").where("schedule_id", "=", run.scheduleId);
  await old
    .where("seq", "<=", seq - RUNS_KEPT)
    .where((each) => each.or([each("outcome", "!=", "started"), each("ended_at", "is not", null)]))
    .execute();
  return runOf(row);
}

function rowsOf(db: Database, appId: string): Promise<ScheduleRow[]> {
  const rows = db.selectFrom("schedules").selectAll().where("app_id", "=", appId);
  return rows.orderBy("name").orderBy("source").execute();
}

function rowById(db: Database, id: string): Promise<ScheduleRow | undefined> {
  return db.selectFrom("schedules").selectAll().where("id", "=", id).executeTakeFirst();
}

function refuseTaken(name: string, others: readonly ScheduleRow[]): void {
  if (!others.some((row) => row.name === name)) return;
  throw new PlatformError(
    "invalid_params",
    `A schedule of the app is called ${name} already: give this one another name.`,
  );
}

function columnsOf(settings: ScheduleSettings) {
  return {
    name: settings.name,
    command: settings.command,
    cron: settings.cron,
    time_zone: settings.timeZone,
    size: settings.size,
    concurrency: settings.concurrency,
    enabled: Number(settings.enabled),
  };
}

function scheduleOf(row: ScheduleRow): Schedule {
  return {
    id: row.id,
    appId: row.app_id,
    source: row.source,
    name: row.name,
    command: row.command,
    cron: row.cron,
    timeZone: row.time_zone,
    size: row.size,
    concurrency: row.concurrency,
    enabled: row.enabled === 1,
    decidedUntil: row.decided_until,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

function outcomeColumns(outcome: RunOutcome) {
  const none = { count: 1, reason: null, dyno_id: null, dyno_name: null, ended_at: null, exit_status: null };
  switch (outcome.kind) {
    case "started": {
      const { dynoId, dynoName, end } = outcome;
      const ended = { ended_at: end?.at ?? null, exit_status: end?.status ?? null };
      return { ...none, outcome: outcome.kind, dyno_id: dynoId, dyno_name: dynoName, ...ended };
    }
    case "skipped":
      return { ...none, outcome: outcome.kind, reason: outcome.reason };
    case "missed":
      return { ...none, outcome: outcome.kind, reason: outcome.reason, count: outcome.count };
    default:
      return outcome satisfies never;
  }
}

function runOf(row: ScheduleRunRow): ScheduleRun {
  return {
    id: row.id,
    scheduleId: row.schedule_id,
    dueAt: row.due_at,
    decidedAt: row.decided_at,
    outcome: outcomeOf(row),
  };
}

function outcomeOf(row: ScheduleRunRow): RunOutcome {
  if (row.outcome === "skipped") return { kind: "skipped", reason: row.reason ?? "" };
  if (row.outcome === "missed") return { kind: "missed", reason: row.reason ?? "", count: row.count };
  const end = row.ended_at === null ? null : { at: row.ended_at, status: row.exit_status };
  return { kind: "started", dynoId: row.dyno_id ?? "", dynoName: row.dyno_name ?? "", end };
}
