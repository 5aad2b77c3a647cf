import type { BuildpackStore } from "../store.ts";
import type { Work } from "../work.ts";

export function buildpackQueries(work: Work): BuildpackStore {
  return {
    list: (appId) =>
      work.read(async (db) => {
        const rows = db.selectFrom("buildpack_installations").select(["url", "name"]).where("app_id", "=", appId);
        return (await rows.orderBy("ordinal").execute()).map(({ url, name }) => ({ url, name }));
      }),
    replace: (appId, buildpacks) =>
      work.write(async (db, touch) => {
        touch(appId);
        await db.deleteFrom("buildpack_installations").where("app_id", "=", appId).execute();
        const rows = buildpacks.map(({ url, name }, ordinal) => ({ app_id: appId, ordinal, url, name }));
        if (rows.length > 0) await db.insertInto("buildpack_installations").values(rows).execute();
      }),
  };
}
