import { RELEASE_TYPE, type Release, type ReleaseStatus } from "../../model/release.ts";
import type { ReleaseStore } from "../store.ts";
import type { Database, ReleaseRow } from "../tables.ts";
import { newId, type Work } from "../work.ts";
import { parseVars, readConfig } from "./config.ts";
import { found } from "./missing.ts";
import { typesOf } from "./slugs.ts";
import { wakeApp } from "./wake.ts";

export interface NewRelease {
  readonly appId: string;
  readonly slugId: string | null;
  readonly description: string;
  readonly userId: string;
  readonly status: ReleaseStatus;
  /** Whether the slug's release command is to run, if it has one. Default false. */
  readonly withCommand?: boolean;
}

/** Without the config vars, which are many times as large, and which nobody asks for who asks for releases. */
const COLUMNS = [
  "id",
  "app_id",
  "version",
  "description",
  "status",
  "failure",
  "phase",
  "slug_id",
  "isolation",
  "user_id",
  "created_at",
  "updated_at",
] as const satisfies readonly (keyof ReleaseRow)[];
type Row = Pick<ReleaseRow, (typeof COLUMNS)[number]>;

export function releaseQueries(work: Work): ReleaseStore {
  const first = (body: (db: Database) => Promise<Row | undefined>) =>
    work.read(async (db) => {
      const row = await body(db);
      return row && releaseOf(row);
    });
  return {
    byId: (id) => first((db) => db.selectFrom("releases").select(COLUMNS).where("id", "=", id).executeTakeFirst()),
    byVersion: (appId, version) => first((db) => ofApp(db, appId).where("version", "=", version).executeTakeFirst()),
    newest: (appId) => first((db) => ofApp(db, appId).orderBy("version", "desc").limit(1).executeTakeFirst()),
    list: (appId) =>
      work.read(async (db) => (await ofApp(db, appId).orderBy("version", "desc").execute()).map(releaseOf)),
    create: (release) =>
      work.write(async (db, touch) => {
        touch(release.appId);
        await wakeApp(db, touch, release.appId);
        return insertRelease(work, db, release);
      }),
    config: (id) =>
      work.read(async (db) => {
        const row = await db.selectFrom("releases").select("sealed").where("id", "=", id).executeTakeFirst();
        return parseVars(work.secrets.open(found(row, "release").sealed, placeOf(id)));
      }),
    setStatus: (id, status, failure) =>
      work.write(async (db, touch) => {
        const row = await db
          .updateTable("releases")
          .set({ status, failure: failure ?? null, updated_at: work.clock.now() })
          .where("id", "=", id)
          .returning("app_id")
          .executeTakeFirst();
        touch(found(row, "release").app_id);
      }),
    setPhase: (id, phase) =>
      work.write(async (db, touch) => {
        const row = await db
          .updateTable("releases")
          .set({ phase, updated_at: work.clock.now() })
          .where("id", "=", id)
          .returning("app_id")
          .executeTakeFirst();
        touch(found(row, "release").app_id);
      }),
  };
}

/** The next version, with the app's config vars and isolation class of this instant. */
export async function insertRelease(work: Work, db: Database, release: NewRelease): Promise<Release> {
  const vars = await readConfig(work, db, release.appId);
  const app = await db.selectFrom("apps").select("isolation").where("id", "=", release.appId).executeTakeFirst();
  const newest = await ofApp(db, release.appId).orderBy("version", "desc").limit(1).executeTakeFirst();
  const id = newId(work);
  const now = work.clock.now();
  const row: ReleaseRow = {
    id,
    app_id: release.appId,
    version: (newest?.version ?? 0) + 1,
    description: release.description,
    status: release.status,
    failure: null,
    phase: release.withCommand === true && (await hasCommand(db, release.slugId)) ? "waiting" : null,
    slug_id: release.slugId,
    isolation: found(app, "app").isolation,
    user_id: release.userId,
    sealed: work.secrets.seal(JSON.stringify(vars), placeOf(id)),
    created_at: now,
    updated_at: now,
  };
  await db.insertInto("releases").values(row).execute();
  return releaseOf(row);
}

async function hasCommand(db: Database, slugId: string | null): Promise<boolean> {
  if (slugId === null) return false;
  const slug = await db.selectFrom("slugs").select("process_types").where("id", "=", slugId).executeTakeFirst();
  return slug !== undefined && Object.hasOwn(typesOf(slug.process_types), RELEASE_TYPE);
}

function ofApp(db: Database, appId: string) {
  return db.selectFrom("releases").select(COLUMNS).where("app_id", "=", appId);
}

function placeOf(id: string): string {
  return `releases/${id}`;
}

function releaseOf(row: Row): Release {
  return {
    id: row.id,
    appId: row.app_id,
    version: row.version,
    description: row.description,
    status: row.status,
    failure: row.failure,
    phase: row.phase,
    slugId: row.slug_id,
    isolation: row.isolation,
    userId: row.user_id,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
