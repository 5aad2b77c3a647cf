import { createHash } from "node:crypto";
import type { Token, TokenStore } from "../store.ts";
import type { TokenRow } from "../tables.ts";
import { newId, type Work } from "../work.ts";

/** Begins as the original's tokens do, so that clients which look are content, and then as ours. */
const PREFIX = "HRKU-ST";

export function tokenQueries(work: Work): TokenStore {
  return {
    create: (token) =>
      work.write(async (db) => {
        const text = `${PREFIX}${Buffer.from(work.random(48)).toString("base64url")}`;
        const now = work.clock.now();
        const row: TokenRow = {
          id: newId(work),
          user_id: token.userId,
          description: token.description,
          scopes: JSON.stringify(token.scopes),
          hash: hashOf(text),
          redacted: `${text.slice(0, 9)}${"*".repeat(10)}${text.slice(-4)}`,
          expires_at: token.expiresAt,
          created_at: now,
          updated_at: now,
        };
        await db.insertInto("tokens").values(row).execute();
        return { token: tokenOf(row), text };
      }),
    // Whoever measures how long the index takes learns of the hash, and nothing of the text.
    find: (text) =>
      work.read(async (db) => {
        const row = await db.selectFrom("tokens").selectAll().where("hash", "=", hashOf(text)).executeTakeFirst();
        const isLive = row && (row.expires_at === null || row.expires_at > work.clock.now());
        return isLive ? tokenOf(row) : undefined;
      }),
    list: (userId) =>
      work.read(async (db) => {
        const rows = db.selectFrom("tokens").selectAll().where("user_id", "=", userId);
        return (await rows.orderBy("created_at").orderBy("id").execute()).map(tokenOf);
      }),
    byId: (id) =>
      work.read(async (db) => {
        const row = await db.selectFrom("tokens").selectAll().where("id", "=", id).executeTakeFirst();
        return row && tokenOf(row);
      }),
    revoke: (id) =>
      work.write(async (db) => {
        await db.deleteFrom("tokens").where("id", "=", id).execute();
      }),
  };
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function tokenOf(row: TokenRow): Token {
  return {
    id: row.id,
    userId: row.user_id,
    description: row.description,
    scopes: JSON.parse(row.scopes) as string[], // written by `create` alone
    redacted: row.redacted,
    expiresAt: row.expires_at,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
