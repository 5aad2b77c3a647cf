import type { OauthClient, OauthClientStore } from "../store.ts";
import type { OauthClientRow } from "../tables.ts";
import { newId, type Work } from "../work.ts";
import { found } from "./missing.ts";

/** Begins so that whoever finds one in a file knows what it is. */
const PREFIX = "stator-client-";

export function oauthClientQueries(work: Work): OauthClientStore {
  const placeOf = (id: string) => `oauth_clients/${id}`;
  const newSecret = (id: string) =>
    work.secrets.seal(`${PREFIX}${Buffer.from(work.random(32)).toString("base64url")}`, placeOf(id));
  const clientOf = (row: OauthClientRow): OauthClient => ({
    id: row.id,
    userId: row.user_id,
    name: row.name,
    redirectUri: row.redirect_uri,
    secret: work.secrets.open(row.sealed, placeOf(row.id)),
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  });
  const change = (id: string, columns: Partial<OauthClientRow>) =>
    work.write(async (db) => {
      const update = db.updateTable("oauth_clients").set({ ...columns, updated_at: work.clock.now() });
      return clientOf(found(await update.where("id", "=", id).returningAll().executeTakeFirst(), "client"));
    });
  return {
    byId: (id) =>
      work.read(async (db) => {
        const row = await db.selectFrom("oauth_clients").selectAll().where("id", "=", id).executeTakeFirst();
        return row && clientOf(row);
      }),
    list: (userId) =>
      work.read(async (db) => {
        const rows = db.selectFrom("oauth_clients").selectAll().where("user_id", "=", userId);
        return (await rows.orderBy("created_at").orderBy("id").execute()).map(clientOf);
      }),
    create: ({ userId, name, redirectUri }) =>
      work.write(async (db) => {
        const id = newId(work);
        const now = work.clock.now();
        const row: OauthClientRow = {
          id,
          user_id: userId,
          name,
          redirect_uri: redirectUri,
          sealed: newSecret(id),
          created_at: now,
          updated_at: now,
        };
        await db.insertInto("oauth_clients").values(row).execute();
        return clientOf(row);
      }),
    update: (id, { name, redirectUri }) =>
      change(id, {
        ...(name !== undefined && { name }),
        ...(redirectUri !== undefined && { redirect_uri: redirectUri }),
      }),
    rotate: (id) => change(id, { sealed: newSecret(id) }),
    remove: (id) =>
      work.write(async (db) => {
        await db.deleteFrom("oauth_clients").where("id", "=", id).execute();
      }),
  };
}
