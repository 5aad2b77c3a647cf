import { BASIC_AUTH_USERS_MAX, type BasicAuthUser, checkBasicAuth, passwordDigest } from "../../model/basic-auth.ts";
import { PlatformError } from "../../model/errors.ts";
import { checkRouting, DEFAULT_ROUTING, type RoutingSettings } from "../../model/routing.ts";
import type { RoutingStore } from "../store.ts";
import type { AppRoutingRow, BasicAuthUserRow, Database } from "../tables.ts";
import type { Work } from "../work.ts";
import { found, requireApp } from "./missing.ts";

export function routingQueries(work: Work): RoutingStore {
  const users = (db: Database, appId: string) => db.selectFrom("basic_auth_users").where("app_id", "=", appId);
  return {
    get: (appId) => work.read((db) => readSettings(db, appId)),
    change: (appId, change) =>
      work.write(async (db, touch) => {
        await requireApp(db, appId);
        const settings = { ...(await readSettings(db, appId)), ...change };
        checkRouting(settings);
        const row = rowOf(appId, settings);
        await db
          .insertInto("app_routing")
          .values(row)
          .onConflict((conflict) => conflict.column("app_id").doUpdateSet(row))
          .execute();
        touch(appId);
        return settings;
      }),
    users: (appId) =>
      work.read(async (db) =>
        (await users(db, appId).selectAll().orderBy("name").execute()).map((row) => userOf(work, row)),
      ),
    addUser: (appId, name, given) =>
      work.write(async (db, touch) => {
        await requireApp(db, appId);
        const password = given ?? Buffer.from(work.random(18)).toString("base64url");
        checkBasicAuth(name, password);
        const names = (await users(db, appId).select("name").execute()).map((row) => row.name);
        if (names.includes(name))
          throw new PlatformError("invalid_params", `There is a user ${name} already: remove it first.`);
        if (names.length >= BASIC_AUTH_USERS_MAX)
          throw new PlatformError("invalid_params", `At most ${BASIC_AUTH_USERS_MAX} users for an app.`);
        const salt = Buffer.from(work.random(16)).toString("base64");
        const sealed = work.secrets.seal(`${salt} ${passwordDigest(password, salt)}`, placeOf(appId, name));
        const row: BasicAuthUserRow = { app_id: appId, name, sealed, created_at: work.clock.now() };
        await db.insertInto("basic_auth_users").values(row).execute();
        touch(appId);
        return { password };
      }),
    removeUser: (appId, name) =>
      work.write(async (db, touch) => {
        const gone = db.deleteFrom("basic_auth_users").where("app_id", "=", appId).where("name", "=", name);
        found(await gone.returning("name").executeTakeFirst(), "user");
        touch(appId);
      }),
  };
}

async function readSettings(db: Database, appId: string): Promise<RoutingSettings> {
  const row = await db.selectFrom("app_routing").selectAll().where("app_id", "=", appId).executeTakeFirst();
  if (row === undefined) return DEFAULT_ROUTING;
  return {
    balance: row.balance,
    dynoProtocol: row.dyno_protocol,
    httpsRedirect: row.https_redirect === 1,
    firstByteSeconds: row.first_byte_timeout,
    rollingSeconds: row.rolling_timeout,
  };
}

function rowOf(appId: string, settings: RoutingSettings): AppRoutingRow {
  return {
    app_id: appId,
    balance: settings.balance,
    dyno_protocol: settings.dynoProtocol,
    https_redirect: Number(settings.httpsRedirect),
    first_byte_timeout: settings.firstByteSeconds,
    rolling_timeout: settings.rollingSeconds,
  };
}

function userOf(work: Work, { app_id, name, sealed }: BasicAuthUserRow): BasicAuthUser {
  const [salt = "", digest = ""] = work.secrets.open(sealed, placeOf(app_id, name)).split(" ");
  return { name, salt, digest };
}

const placeOf = (appId: string, name: string): string => `basic_auth_users/${appId}/${name}`;
