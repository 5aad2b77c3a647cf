import { PlatformError } from "../../model/errors.ts";
import type { Database } from "../tables.ts";

/** The row, or `not_found` in the API's words. */
export function found<T>(row: T | undefined, resource: string): T {
  if (row === undefined) throw new PlatformError("not_found", `Couldn't find that ${resource}.`, { resource });
  return row;
}

/** Throws `not_found` unless the app is there. */
export async function requireApp(db: Database, appId: string): Promise<void> {
  found(await db.selectFrom("apps").select("id").where("id", "=", appId).executeTakeFirst(), "app");
}
