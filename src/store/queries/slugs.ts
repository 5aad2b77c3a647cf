import { storedManifest } from "../../model/app-manifest.ts";
import type { Slug, SlugUpload } from "../../model/release.ts";
import type { SlugStore } from "../store.ts";
import type { Database, SlugRow, SlugUploadRow } from "../tables.ts";
import { newId, type Work } from "../work.ts";
import { found } from "./missing.ts";

export function slugQueries(work: Work): SlugStore {
  const insert = async (db: Database, row: SlugRow): Promise<Slug> => {
    await db.insertInto("slugs").values(row).execute();
    return slugOf(row);
  };
  return {
    byId: (id) =>
      work.read(async (db) => {
        const row = await db.selectFrom("slugs").selectAll().where("id", "=", id).executeTakeFirst();
        return row && slugOf(row);
      }),
    create: (slug) =>
      work.write((db) =>
        insert(db, {
          id: newId(work),
          app_id: slug.appId,
          digest: slug.digest,
          size_bytes: slug.sizeBytes,
          process_types: typesText(slug.processTypes),
          stack: slug.stack,
          commit_hash: slug.commit,
          buildpack_description: slug.buildpackDescription,
          manifest: JSON.stringify(slug.manifest),
          commit_description: null,
          checksum: null,
          created_at: work.clock.now(),
        }),
      ),
    announce: (slug) =>
      work.write(async (db) => {
        const row: SlugUploadRow = {
          id: newId(work),
          app_id: slug.appId,
          process_types: typesText(slug.processTypes),
          stack: slug.stack,
          commit_hash: slug.commit,
          commit_description: slug.commitDescription,
          buildpack_description: slug.buildpackDescription,
          checksum: slug.checksum,
          created_at: work.clock.now(),
        };
        await db.insertInto("slug_uploads").values(row).execute();
        return uploadOf(row);
      }),
    uploadById: (id) =>
      work.read(async (db) => {
        const row = await db.selectFrom("slug_uploads").selectAll().where("id", "=", id).executeTakeFirst();
        return row && uploadOf(row);
      }),
    arrive: (id, { digest, sizeBytes, manifest }) =>
      work.write(async (db) => {
        const row = await db.deleteFrom("slug_uploads").where("id", "=", id).returningAll().executeTakeFirst();
        const upload = found(row, "slug");
        return insert(db, { ...upload, digest, size_bytes: sizeBytes, manifest: JSON.stringify(manifest) });
      }),
    copy: (id, appId) =>
      work.write(async (db) => {
        const row = await db.selectFrom("slugs").selectAll().where("id", "=", id).executeTakeFirst();
        return insert(db, { ...found(row, "slug"), id: newId(work), app_id: appId, created_at: work.clock.now() });
      }),
  };
}

/** As pairs: an object would put names such as "1" before the others. */
function typesText(types: Slug["processTypes"]): string {
  return JSON.stringify(Object.entries(types));
}

export function typesOf(text: string): Slug["processTypes"] {
  return Object.fromEntries(JSON.parse(text) as [string, string][]); // see typesText
}

function uploadOf(row: SlugUploadRow): SlugUpload {
  return {
    id: row.id,
    appId: row.app_id,
    processTypes: typesOf(row.process_types),
    stack: row.stack,
    commit: row.commit_hash,
    commitDescription: row.commit_description,
    buildpackDescription: row.buildpack_description,
    checksum: row.checksum,
    createdAt: row.created_at,
  };
}

function slugOf(row: SlugRow): Slug {
  return {
    ...uploadOf(row),
    digest: row.digest,
    sizeBytes: row.size_bytes,
    manifest: storedManifest(row.manifest),
  };
}
