import { type SelectQueryBuilder, sql } from "kysely";
import { APP_NAME, type App } from "../../model/app.ts";
import { PlatformError } from "../../model/errors.ts";
import { DEFAULT_ISOLATION } from "../../model/isolation.ts";
import { PERMISSIONS } from "../../model/permission.ts";
import { checkRuntime, DEFAULT_RUNTIME, type Runtime } from "../../model/runtime.ts";
import type { AppFacts, AppStore } from "../store.ts";
import type { AppRow, Database, Tables } from "../tables.ts";
import { newId, type Work } from "../work.ts";
import { permissionsIn } from "./collaborators.ts";
import { sealConfig } from "./config.ts";
import { insertDomain, refuseTaken } from "./domains.ts";
import { found } from "./missing.ts";
import { insertRelease } from "./releases.ts";
import { syncSchedules } from "./schedules.ts";
import { wakeApp } from "./wake.ts";

/** Ranges of user ids that root claims for an installation; 0 is nobody's. */
const UID_INDEX_MAX = 4095;

export function appQueries(work: Work): AppStore {
  const byColumn = (db: Database, column: "id" | "name", value: string) =>
    db.selectFrom("apps").selectAll().where(column, "=", value).executeTakeFirst();
  return {
    byId: (id) =>
      work.read(async (db) => {
        const row = await byColumn(db, "id", id);
        return row && appOf(row);
      }),
    find: (nameOrId) =>
      work.read(async (db) => {
        const row = (await byColumn(db, "name", nameOrId)) ?? (await byColumn(db, "id", nameOrId));
        return row && appOf(row);
      }),
    list: () => work.read(async (db) => (await db.selectFrom("apps").selectAll().orderBy("name").execute()).map(appOf)),
    visibleTo: (userId, { field, low, high, order, limit }) =>
      work.read(async (db) => {
        // Each half by an index of its own and no longer than the page; joined is only what is told.
        const half = (rows: SelectQueryBuilder<Tables, "apps", { id: string }>) => {
          let page = rows.orderBy(`apps.${field}`, order).limit(limit);
          if (low) page = page.where(`apps.${field}`, low.isExclusive ? ">" : ">=", low.text);
          if (high) page = page.where(`apps.${field}`, high.isExclusive ? "<" : "<=", high.text);
          return page;
        };
        const shared = db.selectFrom("collaborators").select("app_id").where("user_id", "=", userId);
        const owned = half(db.selectFrom("apps").select("apps.id").where("owner_id", "=", userId));
        const others = half(db.selectFrom("apps").select("apps.id").where("apps.id", "in", shared));
        const both = db.selectFrom(owned.as("owned")).select("owned.id");
        const rows = withFacts(db)
          .where("apps.id", "in", both.unionAll(db.selectFrom(others.as("others")).select("others.id")))
          .orderBy(`apps.${field}`, order)
          .limit(limit);
        return (await rows.execute()).map(factsOf);
      }),
    facts: (id) =>
      work.read(async (db) => {
        const row = await withFacts(db).where("apps.id", "=", id).executeTakeFirst();
        return row && factsOf(row);
      }),
    findFor: (userId, nameOrId) =>
      work.read(async (db) => {
        const row = (await byColumn(db, "name", nameOrId)) ?? (await byColumn(db, "id", nameOrId));
        if (row === undefined) return undefined;
        if (row.owner_id === userId) return { app: appOf(row), permissions: PERMISSIONS };
        const part = await db
          .selectFrom("collaborators")
          .select("permissions")
          .where("app_id", "=", row.id)
          .where("user_id", "=", userId)
          .executeTakeFirst();
        return part && { app: appOf(row), permissions: permissionsIn(part.permissions) };
      }),
    create: (app) =>
      work.write(async (db, touch) => {
        await refuseName(db, app.name);
        const row = await insertApp(work, db, app);
        await insertDomain(work, db, { appId: row.id, hostname: `${app.name}.${app.domain}`, kind: "heroku" });
        const release = { appId: row.id, slugId: null, userId: app.ownerId, status: "succeeded" } as const;
        await insertRelease(work, db, { ...release, description: "Initial release" });
        const { id } = await insertRelease(work, db, { ...release, description: "Enable Logplex" });
        await db.updateTable("apps").set({ current_release_id: id }).where("id", "=", row.id).execute();
        touch(row.id);
        return appOf({ ...row, current_release_id: id });
      }),
    update: (id, change) =>
      work.write(async (db, touch) => {
        const before = found(await byColumn(db, "id", id), "app");
        checkRuntime(change);
        if (change.name !== undefined && change.name !== before.name) await rename(work, db, before, change.name);
        if (change.currentReleaseId !== undefined) await refuseForeignRelease(db, id, change.currentReleaseId);
        const row = await db
          .updateTable("apps")
          .set({
            updated_at: work.clock.now(),
            ...(change.maintenance !== undefined && { maintenance: Number(change.maintenance) }),
            ...runtimeColumns(change),
            ...(change.isolation !== undefined && { isolation: change.isolation }),
            ...(change.currentReleaseId !== undefined && { current_release_id: change.currentReleaseId }),
            ...(change.releasedAt !== undefined && { released_at: change.releasedAt }),
            ...(change.sleepAfterMinutes !== undefined && { asleep_since: null }), // it may be that it never sleeps any more
          })
          .where("id", "=", id)
          .returningAll()
          .executeTakeFirstOrThrow();
        if (change.currentReleaseId !== undefined) await syncSchedules(work, db, before, change.currentReleaseId);
        touch(id);
        return appOf(row);
      }),
    setRepoBytes: (id, bytes) =>
      work.write(async (db) => {
        await db.updateTable("apps").set({ repo_bytes: bytes }).where("id", "=", id).execute();
      }),
    sleepers: () =>
      work.read(async (db) => {
        // Literals, not parameters: only so are the two indexes used, which hold nobody else.
        const said = db.selectFrom("apps").select("id").where(sql<boolean>`sleep_after > 0`);
        const eco = db.selectFrom("formation").select("app_id as id").where(sql<boolean>`size = 'Eco'`);
        const rows = db
          .selectFrom("apps")
          .selectAll()
          .where("id", "in", said.union(eco))
          .where("asleep_since", "is", null)
          .where("maintenance", "=", 0)
          .where((is) => is.or([is("sleep_after", "is", null), is("sleep_after", ">", 0)]));
        return (await rows.execute()).map(appOf);
      }),
    sleep: (id) =>
      work.write(async (db, touch) => {
        const pending = db.selectFrom("releases").select("id").where("app_id", "=", id).where("status", "=", "pending");
        const asleep = db.updateTable("apps").set({ asleep_since: work.clock.now() }).where("id", "=", id);
        await asleep
          .where("asleep_since", "is", null)
          .where((is) => is.not(is.exists(pending)))
          .execute();
        touch(id);
      }),
    wake: (id) => work.write((db, touch) => wakeApp(db, touch, id)),
    remove: (id) =>
      work.write(async (db, touch) => {
        await db.deleteFrom("apps").where("id", "=", id).execute();
        touch(id);
      }),
  };
}

function withFacts(db: Database) {
  return db
    .selectFrom("apps")
    .innerJoin("users", "users.id", "apps.owner_id")
    .leftJoin("releases", "releases.id", "apps.current_release_id")
    .leftJoin("slugs", "slugs.id", "releases.slug_id")
    .leftJoin("acm_apps", "acm_apps.app_id", "apps.id")
    .selectAll("apps")
    .select(["users.email", "slugs.size_bytes", "slugs.buildpack_description", "acm_apps.app_id as acm"]);
}

function factsOf(
  row: AppRow & {
    readonly email: string;
    readonly size_bytes: number | null;
    readonly buildpack_description: string | null;
    readonly acm: string | null;
  },
): AppFacts {
  return {
    app: appOf(row),
    ownerEmail: row.email,
    slug:
      row.size_bytes === null ? null : { sizeBytes: row.size_bytes, buildpackDescription: row.buildpack_description },
    isAutomatic: row.acm !== null,
    repoBytes: row.repo_bytes,
  };
}

async function insertApp(
  work: Work,
  db: Database,
  app: { readonly name: string; readonly ownerId: string; readonly stack: string },
): Promise<AppRow> {
  const id = newId(work);
  const now = work.clock.now();
  const row: AppRow = {
    id,
    name: app.name,
    owner_id: app.ownerId,
    uid_index: await takeUidIndex(work, db, id),
    maintenance: 0,
    stack: app.stack,
    isolation: DEFAULT_ISOLATION,
    current_release_id: null,
    had_formation: 0,
    created_at: now,
    updated_at: now,
    released_at: now,
    restart_policy: DEFAULT_RUNTIME.restartPolicy,
    rollout: DEFAULT_RUNTIME.rollout,
    boot_timeout: DEFAULT_RUNTIME.bootTimeoutSeconds,
    preboot_delay: DEFAULT_RUNTIME.prebootDelaySeconds,
    stop_grace: DEFAULT_RUNTIME.stopGraceSeconds,
    release_timeout: DEFAULT_RUNTIME.releaseTimeoutSeconds,
    daily_cycling: Number(DEFAULT_RUNTIME.dailyCycling),
    cycling_hour: DEFAULT_RUNTIME.cyclingHour,
    repo_bytes: null,
    sleep_after: DEFAULT_RUNTIME.sleepAfterMinutes,
    asleep_since: null,
  };
  await db.insertInto("apps").values(row).execute();
  await db
    .insertInto("app_config")
    .values({ app_id: id, sealed: sealConfig(work, id, {}) })
    .execute();
  return row;
}

/** The next index that was never given to an app. */
async function takeUidIndex(work: Work, db: Database, appId: string): Promise<number> {
  const { last } = await db
    .selectFrom("uid_indexes")
    .select((row) => row.fn.max("uid_index").as("last"))
    .executeTakeFirstOrThrow();
  const next = (last ?? 0) + 1;
  if (next > UID_INDEX_MAX) {
    throw new PlatformError(
      "service_unavailable",
      `This installation has made ${UID_INDEX_MAX} apps, and has no range of user ids left for another one.`,
    );
  }
  await db.insertInto("uid_indexes").values({ uid_index: next, app_id: appId, created_at: work.clock.now() }).execute();
  return next;
}

async function refuseName(db: Database, name: string): Promise<void> {
  if (!APP_NAME.test(name)) {
    throw new PlatformError(
      "invalid_params",
      "Name must start with a letter, end with a letter or digit and can only contain lowercase letters, digits, and dashes (3 to 30 characters).",
    );
  }
  const taken = await db.selectFrom("apps").select("id").where("name", "=", name).executeTakeFirst();
  if (taken) throw new PlatformError("invalid_params", `Name ${name} is already taken`);
}

/** The default domain goes with the name. */
async function rename(work: Work, db: Database, app: AppRow, name: string): Promise<void> {
  await refuseName(db, name);
  const domains = db.selectFrom("domains").selectAll().where("app_id", "=", app.id).where("kind", "=", "heroku");
  for (const { id, hostname } of await domains.execute()) {
    if (!hostname.startsWith(`${app.name}.`)) continue;
    const renamed = `${name}${hostname.slice(app.name.length)}`;
    await refuseTaken(db, renamed);
    const change = { hostname: renamed, updated_at: work.clock.now() };
    await db.updateTable("domains").set(change).where("id", "=", id).execute();
  }
  await db.updateTable("apps").set({ name }).where("id", "=", app.id).execute();
}

async function refuseForeignRelease(db: Database, appId: string, releaseId: string): Promise<void> {
  const release = db.selectFrom("releases").select("id").where("id", "=", releaseId).where("app_id", "=", appId);
  found(await release.executeTakeFirst(), "release");
}

function runtimeColumns(change: Partial<Runtime>): Partial<AppRow> {
  return {
    ...(change.restartPolicy !== undefined && { restart_policy: change.restartPolicy }),
    ...(change.rollout !== undefined && { rollout: change.rollout }),
    ...(change.bootTimeoutSeconds !== undefined && { boot_timeout: change.bootTimeoutSeconds }),
    ...(change.prebootDelaySeconds !== undefined && { preboot_delay: change.prebootDelaySeconds }),
    ...(change.stopGraceSeconds !== undefined && { stop_grace: change.stopGraceSeconds }),
    ...(change.releaseTimeoutSeconds !== undefined && { release_timeout: change.releaseTimeoutSeconds }),
    ...(change.dailyCycling !== undefined && { daily_cycling: Number(change.dailyCycling) }),
    ...(change.cyclingHour !== undefined && { cycling_hour: change.cyclingHour }),
    ...(change.sleepAfterMinutes !== undefined && { sleep_after: change.sleepAfterMinutes }),
  };
}

function appOf(row: AppRow): App {
  return {
    id: row.id,
    name: row.name,
    ownerId: row.owner_id,
    uidIndex: row.uid_index,
    maintenance: row.maintenance === 1,
    stack: row.stack,
    restartPolicy: row.restart_policy,
    rollout: row.rollout,
    bootTimeoutSeconds: row.boot_timeout,
    prebootDelaySeconds: row.preboot_delay,
    stopGraceSeconds: row.stop_grace,
    releaseTimeoutSeconds: row.release_timeout,
    dailyCycling: row.daily_cycling === 1,
    cyclingHour: row.cycling_hour,
    sleepAfterMinutes: row.sleep_after,
    isolation: row.isolation,
    currentReleaseId: row.current_release_id,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    releasedAt: row.released_at,
    asleepSince: row.asleep_since,
  };
}
