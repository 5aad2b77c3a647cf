import { PlatformError } from "../../model/errors.ts";
import { parseSshKey } from "../../model/ssh-key.ts";
import type { SshKey, SshKeyStore } from "../store.ts";
import type { SshKeyRow } from "../tables.ts";
import { newId, type Work } from "../work.ts";

const KEYS_MAX = 100;

export function sshKeyQueries(work: Work): SshKeyStore {
  return {
    list: (userId) =>
      work.read(async (db) => {
        const rows = db.selectFrom("ssh_keys").selectAll().where("user_id", "=", userId);
        return (await rows.orderBy("created_at").orderBy("id").execute()).map(keyOf);
      }),
    add: (userId, publicKey) =>
      work.write(async (db) => {
        const key = parseSshKey(publicKey);
        if (key === undefined)
          throw new PlatformError("invalid_params", "Invalid public_key: not one line of a .pub file of OpenSSH.");
        const there = await db
          .selectFrom("ssh_keys")
          .select("user_id")
          .where("fingerprint", "=", key.fingerprint)
          .executeTakeFirst();
        if (there)
          throw new PlatformError("invalid_params", "Fingerprint is already in use: this key is here already.");
        const own = await db.selectFrom("ssh_keys").select("id").where("user_id", "=", userId).execute();
        if (own.length >= KEYS_MAX) throw new PlatformError("invalid_params", `At most ${KEYS_MAX} keys for a user.`);
        const now = work.clock.now();
        const row: SshKeyRow = {
          id: newId(work),
          user_id: userId,
          public_key: key.text,
          fingerprint: key.fingerprint,
          comment: key.comment,
          created_at: now,
          updated_at: now,
        };
        await db.insertInto("ssh_keys").values(row).execute();
        return keyOf(row);
      }),
    remove: (id) =>
      work.write(async (db) => {
        await db.deleteFrom("ssh_keys").where("id", "=", id).execute();
      }),
  };
}

function keyOf(row: SshKeyRow): SshKey {
  return {
    id: row.id,
    userId: row.user_id,
    publicKey: row.public_key,
    fingerprint: row.fingerprint,
    comment: row.comment,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
