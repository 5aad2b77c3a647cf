import { storedManifest } from "../../model/app-manifest.ts";
import type { Slug } from "../../model/release.ts";
import type { SlugStore } from "../store.ts";
import type { SlugRow } from "../tables.ts";
import { newId, type Work } from "../work.ts";

export function slugQueries(work: Work): SlugStore {
  return {
    byId: (id) =>
      work.read(async (db) => {
        const row = await db.selectFrom("slugs").selectAll().where("id", "=", id).executeTakeFirst();
        return row && slugOf(row);
      }),
    create: (slug) =>
      work.write(async (db) => {
        const row: SlugRow = {
          id: newId(work),
          app_id: slug.appId,
          digest: slug.digest,
          size_bytes: slug.sizeBytes,
          // As pairs: an object would put names such as "1" before the others.
          process_types: JSON.stringify(Object.entries(slug.processTypes)),
          stack: slug.stack,
          commit_hash: slug.commit,
          buildpack_description: slug.buildpackDescription,
          manifest: JSON.stringify(slug.manifest),
          created_at: work.clock.now(),
        };
        await db.insertInto("slugs").values(row).execute();
        return slugOf(row);
      }),
  };
}

function slugOf(row: SlugRow): Slug {
  return {
    id: row.id,
    appId: row.app_id,
    digest: row.digest,
    sizeBytes: row.size_bytes,
    processTypes: Object.fromEntries(JSON.parse(row.process_types) as [string, string][]), // written by `create` alone
    stack: row.stack,
    commit: row.commit_hash,
    buildpackDescription: row.buildpack_description,
    manifest: storedManifest(row.manifest),
    createdAt: row.created_at,
  };
}
