import { createHash } from "node:crypto";
import type { NewToken, Token, TokenStore } from "../store.ts";
import type { TokenRow } from "../tables.ts";
import { newId, type Work } from "../work.ts";
import { found } from "./missing.ts";

/** Each begins as the original's tokens do, so that clients which look are content, and then as ours. */
const PREFIX = "HRKU-ST";
const REFRESH_PREFIX = "HRKU-SR";
const GRANT_PREFIX = "HRKU-SG";

export function tokenQueries(work: Work): TokenStore {
  const newText = (prefix: string) => `${prefix}${Buffer.from(work.random(48)).toString("base64url")}`;
  const rowOf = (token: NewToken & { readonly clientId?: string }, text: string): TokenRow => {
    const now = work.clock.now();
    return {
      id: newId(work),
      user_id: token.userId,
      description: token.description,
      scopes: JSON.stringify(token.scopes),
      hash: hashOf(text),
      redacted: redactedOf(text),
      expires_at: token.expiresAt,
      client_id: token.clientId ?? null,
      session: Number(token.isSession ?? false),
      issued_at: now,
      refresh_hash: null,
      refresh_redacted: null,
      grant_hash: null,
      grant_expires_at: null,
      created_at: now,
      updated_at: now,
    };
  };
  // Whoever measures how long the index takes learns of the hash, and nothing of the text.
  const byHash = (column: "hash" | "refresh_hash" | "grant_hash", text: string) =>
    work.read((db) => db.selectFrom("tokens").selectAll().where(column, "=", hashOf(text)).executeTakeFirst());
  const change = (id: string, columns: Partial<TokenRow>) =>
    work.write(async (db) => {
      const update = db.updateTable("tokens").set({ ...columns, updated_at: work.clock.now() });
      return tokenOf(found(await update.where("id", "=", id).returningAll().executeTakeFirst(), "authorization"));
    });
  return {
    create: (token) =>
      work.write(async (db) => {
        const text = newText(PREFIX);
        const row = rowOf(token, text);
        await db.insertInto("tokens").values(row).execute();
        return { token: tokenOf(row), text };
      }),
    createGrant: (token, lifetimeMs) =>
      work.write(async (db) => {
        const code = newText(GRANT_PREFIX);
        const grant = { grant_hash: hashOf(code), grant_expires_at: work.clock.now() + lifetimeMs };
        const row: TokenRow = { ...rowOf(token, newText(PREFIX)), redacted: "", ...grant }; // nobody is told that text
        await db.insertInto("tokens").values(row).execute();
        return { token: tokenOf(row), code };
      }),
    find: async (text) => {
      const row = await byHash("hash", text);
      const isLive = row && (row.expires_at === null || row.expires_at > work.clock.now());
      return isLive ? tokenOf(row) : undefined;
    },
    findRefresh: async (text) => {
      const row = await byHash("refresh_hash", text);
      return row && tokenOf(row);
    },
    findGrant: async (code) => {
      const row = await byHash("grant_hash", code);
      return row && (row.grant_expires_at ?? 0) > work.clock.now() ? tokenOf(row) : undefined;
    },
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
    update: (id, { description, clientId }) =>
      change(id, {
        ...(description !== undefined && { description }),
        ...(clientId !== undefined && { client_id: clientId }),
      }),
    regenerate: (id, { refresh, expiresAt } = {}) =>
      work.write(async (db) => {
        const before = found(
          await db.selectFrom("tokens").selectAll().where("id", "=", id).executeTakeFirst(),
          "authorization",
        );
        const now = work.clock.now();
        const text = newText(PREFIX);
        const isNew = refresh === "new" || (refresh === undefined && before.refresh_hash !== null);
        const refreshText = isNew ? newText(REFRESH_PREFIX) : null;
        const columns: Partial<TokenRow> = {
          hash: hashOf(text),
          redacted: redactedOf(text),
          expires_at: expiresAt === undefined ? renewed(before, now) : expiresAt,
          issued_at: now,
          ...(refreshText !== null && {
            refresh_hash: hashOf(refreshText),
            refresh_redacted: redactedOf(refreshText),
          }),
          grant_hash: null,
          grant_expires_at: null,
          updated_at: now,
        };
        const update = db.updateTable("tokens").set(columns).where("id", "=", id).returningAll();
        return { token: tokenOf(await update.executeTakeFirstOrThrow()), text, refreshText };
      }),
    revoke: (id) =>
      work.write(async (db) => {
        await db.deleteFrom("tokens").where("id", "=", id).execute();
      }),
  };
}

function renewed({ expires_at, issued_at, created_at }: TokenRow, now: number): number | null {
  return expires_at === null ? null : now + (expires_at - (issued_at ?? created_at));
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function redactedOf(text: string): string {
  return `${text.slice(0, 9)}${"*".repeat(10)}${text.slice(-4)}`;
}

function tokenOf(row: TokenRow): Token {
  return {
    id: row.id,
    userId: row.user_id,
    description: row.description,
    scopes: JSON.parse(row.scopes) as string[], // written by `create` alone
    redacted: row.redacted === "" ? null : row.redacted,
    expiresAt: row.expires_at,
    isSession: row.session === 1,
    clientId: row.client_id,
    refreshRedacted: row.refresh_redacted,
    grantExpiresAt: row.grant_expires_at,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
