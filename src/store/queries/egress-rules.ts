import { checkEgressRule, EGRESS_RULES_MAX } from "../../model/egress-rule.ts";
import { PlatformError } from "../../model/errors.ts";
import type { EgressRuleStore, StoredEgressRule } from "../store.ts";
import type { EgressRuleRow } from "../tables.ts";
import { newId, type Work } from "../work.ts";

export function egressRuleQueries(work: Work): EgressRuleStore {
  return {
    list: (appId) =>
      work.read(async (db) => {
        const rows = db.selectFrom("egress_rules").selectAll().where("app_id", "=", appId);
        return (await rows.orderBy("created_at").orderBy("id").execute()).map(ruleOf);
      }),
    apps: () =>
      work.read(async (db) =>
        (await db.selectFrom("egress_rules").select("app_id").distinct().execute()).map((row) => row.app_id),
      ),
    add: (appId, rule) =>
      work.write(async (db, touch) => {
        checkEgressRule(rule);
        const before = await db.selectFrom("egress_rules").selectAll().where("app_id", "=", appId).execute();
        if (before.length >= EGRESS_RULES_MAX)
          throw new PlatformError("invalid_params", `At most ${EGRESS_RULES_MAX} egress rules for an app.`);
        const same = before.find(
          ({ action, cidr, port }) => action === rule.action && cidr === rule.cidr && port === rule.port,
        );
        if (same) throw new PlatformError("invalid_params", `The app has this rule already: ${same.id}.`);
        touch(appId);
        const { action, cidr, port } = rule;
        const row: EgressRuleRow = { id: newId(work), app_id: appId, action, cidr, port, created_at: work.clock.now() };
        await db.insertInto("egress_rules").values(row).execute();
        return ruleOf(row);
      }),
    remove: (id) =>
      work.write(async (db, touch) => {
        const row = await db.deleteFrom("egress_rules").where("id", "=", id).returning("app_id").executeTakeFirst();
        if (row) touch(row.app_id);
      }),
  };
}

function ruleOf({ id, app_id, action, cidr, port, created_at }: EgressRuleRow): StoredEgressRule {
  return { id, appId: app_id, action, cidr, port, createdAt: created_at };
}
