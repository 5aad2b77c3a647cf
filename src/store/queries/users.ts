import type { User } from "../../model/app.ts";
import { PlatformError } from "../../model/errors.ts";
import type { UserStore } from "../store.ts";
import type { Database, UserRow } from "../tables.ts";
import { newId, type Work } from "../work.ts";
import { found } from "./missing.ts";

/** Addresses stand in log lines: no blanks, no control characters. */
// oxlint-disable-next-line no-control-regex
const EMAIL = /^[^\s@\x00-\x1f\x7f]{1,64}@[^\s@\x00-\x1f\x7f]{1,190}$/;

export function userQueries(work: Work): UserStore {
  const one = (column: "id" | "email", value: string) =>
    work.read(async (db) => {
      const row = await db
        .selectFrom("users")
        .selectAll()
        .where(column, "=", value)
        .where("removed_at", "is", null)
        .executeTakeFirst();
      return row && userOf(row);
    });
  return {
    // Also who was removed: releases name them.
    byId: (id) =>
      work.read(async (db) => {
        const row = await db.selectFrom("users").selectAll().where("id", "=", id).executeTakeFirst();
        return row && userOf(row);
      }),
    byEmail: (email) => one("email", email.toLowerCase()),
    owner: () =>
      work.read(async (db) => {
        const id = await ownerId(db);
        const row = id && (await db.selectFrom("users").selectAll().where("id", "=", id).executeTakeFirst());
        return row ? userOf(row) : undefined;
      }),
    ensure: (email) =>
      work.write(async (db) => {
        if (!EMAIL.test(email)) throw new PlatformError("invalid_params", `${email} is not an e-mail address.`);
        const there = db.selectFrom("users").selectAll().where("email", "=", email.toLowerCase());
        const before = await there.executeTakeFirst();
        if (before?.removed_at === null) return userOf(before);
        if (before) await comeBack(work, db, before.id);
        else await insertUser(work, db, email.toLowerCase());
        return userOf(await there.executeTakeFirstOrThrow());
      }),
    list: () =>
      work.read(async (db) => {
        const rows = db.selectFrom("users").selectAll().where("removed_at", "is", null);
        return (await rows.orderBy("email").execute()).map(userOf);
      }),
    update: (id, change) =>
      work.write(async (db) => {
        const before = found(
          await db
            .selectFrom("users")
            .selectAll()
            .where("id", "=", id)
            .where("removed_at", "is", null)
            .executeTakeFirst(),
          "user",
        );
        if (change.isSuspended === true || change.isOperator === false) await refuseOwner(db, before);
        const now = work.clock.now();
        const row = await db
          .updateTable("users")
          .set({
            updated_at: now,
            ...(change.name !== undefined && { name: change.name }),
            ...(change.allowTracking !== undefined && { allow_tracking: Number(change.allowTracking) }),
            ...(change.beta !== undefined && { beta: Number(change.beta) }),
            ...(change.isOperator !== undefined && { operator: Number(change.isOperator) }),
            ...(change.isSuspended !== undefined && {
              suspended_at: change.isSuspended ? (before.suspended_at ?? now) : null,
            }),
          })
          .where("id", "=", id)
          .returningAll()
          .executeTakeFirstOrThrow();
        return userOf(row);
      }),
    remove: (id, appsTo) =>
      work.write(async (db, touch) => {
        const user = found(await db.selectFrom("users").selectAll().where("id", "=", id).executeTakeFirst(), "user");
        await refuseOwner(db, user);
        for (const appId of await handOver(work, db, user, appsTo)) touch(appId);
        await handOverPipelines(work, db, user, appsTo);
        await db
          .deleteFrom("app_transfers")
          .where((is) => is.or([is("owner_id", "=", id), is("recipient_id", "=", id)]))
          .execute();
        await db.deleteFrom("account_features").where("user_id", "=", id).execute();
        for (const table of ["tokens", "ssh_keys", "oauth_clients", "collaborators"] as const)
          await db.deleteFrom(table).where("user_id", "=", id).execute();
        // The row stays: releases, builds and more name it.
        const gone = { removed_at: work.clock.now(), operator: 0 };
        await db.updateTable("users").set(gone).where("id", "=", id).execute();
      }),
  };
}

async function insertUser(work: Work, db: Database, email: string): Promise<void> {
  const now = work.clock.now();
  const isFirst = (await ownerId(db)) === undefined;
  const row: UserRow = {
    id: newId(work),
    email,
    name: null,
    kind: "person",
    operator: Number(isFirst),
    allow_tracking: 0,
    beta: 0,
    suspended_at: null,
    removed_at: null,
    created_at: now,
    updated_at: now,
  };
  await db.insertInto("users").values(row).execute();
  if (isFirst) await db.insertInto("meta").values({ name: "owner", value: row.id }).execute();
}

/** As if new, but for the id under which history names them. */
async function comeBack(work: Work, db: Database, id: string): Promise<void> {
  const fresh = { removed_at: null, suspended_at: null, name: null, updated_at: work.clock.now() };
  await db.updateTable("users").set(fresh).where("id", "=", id).execute();
}

async function ownerId(db: Database): Promise<string | undefined> {
  return (await db.selectFrom("meta").select("value").where("name", "=", "owner").executeTakeFirst())?.value;
}

/** The installation would be without anybody who sees to it. */
async function refuseOwner(db: Database, user: UserRow): Promise<void> {
  if ((await ownerId(db)) !== user.id) return;
  throw new PlatformError(
    "invalid_params",
    `${user.email} is the owner of this installation, who cannot be suspended, removed or made less than an operator.`,
  );
}

/** The ids of the apps that have another owner now, who was perhaps a collaborator before. */
async function handOver(work: Work, db: Database, user: UserRow, to: string | null): Promise<readonly string[]> {
  const apps = await db.selectFrom("apps").select(["id", "name"]).where("owner_id", "=", user.id).execute();
  if (apps.length === 0) return [];
  if (to === null || to === user.id) {
    const names = apps.slice(0, 10).map(({ name }) => name);
    const more = apps.length > names.length ? `, and ${apps.length - names.length} more` : "";
    throw new PlatformError(
      "invalid_params",
      `${user.email} owns ${names.join(", ")}${more}: say who shall have them, or destroy them first.`,
    );
  }
  const heir = db.selectFrom("users").select("id").where("id", "=", to).where("removed_at", "is", null);
  found(await heir.executeTakeFirst(), "user");
  const ids = apps.map(({ id }) => id);
  await db.deleteFrom("collaborators").where("user_id", "=", to).where("app_id", "in", ids).execute();
  const change = { owner_id: to, updated_at: work.clock.now() };
  await db.updateTable("apps").set(change).where("owner_id", "=", user.id).execute();
  return ids;
}

/** With the apps; one without an heir, or whose name they have given already, goes, and leaves its apps out of any. */
async function handOverPipelines(work: Work, db: Database, user: UserRow, to: string | null): Promise<void> {
  if (to !== null && to !== user.id) {
    const taken = db.selectFrom("pipelines").select("name").where("owner_id", "=", to);
    const change = { owner_id: to, updated_at: work.clock.now() };
    const theirs = db.updateTable("pipelines").set(change).where("owner_id", "=", user.id);
    await theirs.where("name", "not in", taken).execute();
  }
  await db.deleteFrom("pipelines").where("owner_id", "=", user.id).execute();
}

function userOf(row: UserRow): User {
  return {
    id: row.id,
    email: row.email,
    name: row.name,
    isOperator: row.operator === 1,
    suspendedAt: row.suspended_at,
    allowTracking: row.allow_tracking === 1,
    beta: row.beta === 1,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
