import type { Database } from "../tables.ts";
import type { Touch } from "../work.ts";

/** Whether it slept. */
export async function wakeApp(db: Database, touch: Touch, id: string): Promise<boolean> {
  const asleep = db.updateTable("apps").set({ asleep_since: null }).where("id", "=", id);
  const woken = await asleep.where("asleep_since", "is not", null).returning("id").executeTakeFirst();
  if (woken !== undefined) touch(id);
  return woken !== undefined;
}
