import { PlatformError } from "../../model/errors.ts";
import type { ConfigVars } from "../../model/release.ts";
import type { ConfigStore } from "../store.ts";
import type { Database } from "../tables.ts";
import type { Work } from "../work.ts";
import { found } from "./missing.ts";

/** Bytes of all keys and values together (spec 4.5). */
export const CONFIG_BYTES_MAX = 64 * 1024;
const KEY = /^[A-Za-z_][A-Za-z0-9_]*$/;

export function configQueries(work: Work): ConfigStore {
  return {
    get: (appId) => work.read((db) => readConfig(work, db, appId)),
    change: (appId, change) =>
      work.write(async (db, touch) => {
        const vars = applyConfig(await readConfig(work, db, appId), change);
        await writeConfig(work, db, appId, vars);
        touch(appId);
        return vars;
      }),
    replace: (appId, vars) =>
      work.write(async (db, touch) => {
        await readConfig(work, db, appId);
        await writeConfig(work, db, appId, vars);
        touch(appId);
      }),
  };
}

/** The vars after a change; null deletes. Throws `invalid_params` by the rules of spec 4.5. */
export function applyConfig(vars: ConfigVars, change: Readonly<Record<string, string | null>>): ConfigVars {
  const after = new Map(Object.entries(vars));
  for (const [key, value] of Object.entries(change)) {
    if (value === null) after.delete(key);
    else after.set(checkedKey(key), checkedValue(key, value));
  }
  const bytes = [...after].reduce((sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(value), 0);
  if (bytes > CONFIG_BYTES_MAX) {
    throw new PlatformError(
      "invalid_params",
      `Config vars would take ${bytes} bytes: at most ${CONFIG_BYTES_MAX} (64 kB) for all keys and values of an app together.`,
    );
  }
  return Object.fromEntries(after);
}

function checkedKey(key: string): string {
  const refuse = (why: string) => new PlatformError("invalid_params", `Config var name ${JSON.stringify(key)} ${why}`);
  if (!KEY.test(key)) {
    throw refuse("cannot be used: letters, digits and _ only, and not a digit first (shells cannot read other names).");
  }
  if (key.startsWith("HEROKU_")) throw refuse("cannot be used: names that start with HEROKU_ are the platform's.");
  if (key.startsWith("__")) throw refuse("cannot be used: names must not start with __.");
  return key;
}

function checkedValue(key: string, value: string): string {
  if (!value.includes("\0")) return value;
  throw new PlatformError(
    "invalid_params",
    `The value of ${key} holds a NUL character, which no environment can carry.`,
  );
}

export async function readConfig(work: Work, db: Database, appId: string): Promise<ConfigVars> {
  const row = await db.selectFrom("app_config").select("sealed").where("app_id", "=", appId).executeTakeFirst();
  return parseVars(work.secrets.open(found(row, "app").sealed, placeOf(appId)));
}

async function writeConfig(work: Work, db: Database, appId: string, vars: ConfigVars): Promise<void> {
  const sealed = sealConfig(work, appId, vars);
  await db.updateTable("app_config").set({ sealed }).where("app_id", "=", appId).execute();
}

export function sealConfig(work: Work, appId: string, vars: ConfigVars): string {
  return work.secrets.seal(JSON.stringify(vars), placeOf(appId));
}

/** What `JSON.stringify` made of config vars. */
export function parseVars(text: string): ConfigVars {
  return JSON.parse(text) as Record<string, string>; // sealed by us, and opened unchanged
}

function placeOf(appId: string): string {
  return `app_config/${appId}`;
}
