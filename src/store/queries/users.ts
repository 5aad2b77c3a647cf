import type { User } from "../../model/app.ts";
import { PlatformError } from "../../model/errors.ts";
import type { UserStore } from "../store.ts";
import type { Tables } from "../tables.ts";
import { newId, type Work } from "../work.ts";

/** Addresses stand in log lines: no blanks, no control characters. */
// oxlint-disable-next-line no-control-regex
const EMAIL = /^[^\s@\x00-\x1f\x7f]{1,64}@[^\s@\x00-\x1f\x7f]{1,190}$/;

export function userQueries(work: Work): UserStore {
  const one = (column: "id" | "email", value: string) =>
    work.read(async (db) => {
      const row = await db.selectFrom("users").selectAll().where(column, "=", value).executeTakeFirst();
      return row && userOf(row);
    });
  return {
    byId: (id) => one("id", id),
    byEmail: (email) => one("email", email.toLowerCase()),
    owner: () =>
      work.read(async (db) => {
        const row = await db
          .selectFrom("users")
          .innerJoin("meta", (join) => join.onRef("meta.value", "=", "users.id").on("meta.name", "=", "owner"))
          .selectAll("users")
          .executeTakeFirst();
        return row && userOf(row);
      }),
    ensure: (email) =>
      work.write(async (db) => {
        if (!EMAIL.test(email)) throw new PlatformError("invalid_params", `${email} is not an e-mail address.`);
        const now = work.clock.now();
        const row = { id: newId(work), email: email.toLowerCase(), name: null, created_at: now, updated_at: now };
        await db
          .insertInto("users")
          .values(row)
          .onConflict((conflict) => conflict.column("email").doNothing())
          .execute();
        const there = db.selectFrom("users").selectAll().where("email", "=", row.email);
        const user = userOf(await there.executeTakeFirstOrThrow());
        await db
          .insertInto("meta")
          .values({ name: "owner", value: user.id }) // the first one stays
          .onConflict((conflict) => conflict.column("name").doNothing())
          .execute();
        return user;
      }),
  };
}

function userOf(row: Tables["users"]): User {
  return { id: row.id, email: row.email, name: row.name, createdAt: row.created_at, updatedAt: row.updated_at };
}
